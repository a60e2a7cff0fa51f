import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ElementHandle, Page } from "puppeteer-core";
import { expect } from "vitest";
import { type Person, patience } from "./person.ts";

/** What a page has been given to save, as `keepParcels` finds it. */
type Keeping = { parcels: Blob[] };

/** Runs in the page: keeps hold of what it makes addresses for, since tests see no downloads. */
export function keepParcels(): void {
  const parcels: Blob[] = [];
  Object.assign(window, { parcels } satisfies Keeping);
  const make = URL.createObjectURL.bind(URL);
  URL.createObjectURL = (object) => {
    if (object instanceof Blob) parcels.push(object);
    return make(object);
  };
}

/** A file to send. */
export interface Parcel {
  readonly name: string;
  readonly path: string;
  readonly digest: string;
}

let folder: Promise<string> | undefined;

export async function parcel(name: string, content: number | Uint8Array): Promise<Parcel> {
  folder ??= mkdtemp(join(tmpdir(), "parcels-"));
  const path = join(await folder, name);
  const bytes = typeof content === "number" ? randomBytes(content) : content;
  await writeFile(path, bytes);
  return { name, path, digest: createHash("sha256").update(bytes).digest("hex") };
}

export async function discardParcels(): Promise<void> {
  if (folder) await rm(await folder, { recursive: true });
  folder = undefined;
}

export async function openChat({ page }: Person): Promise<void> {
  if (await page.$('[role="log"]')) return;
  await page.locator('::-p-aria(Chat[role="button"])').click();
  await page.waitForSelector('[role="log"]');
}

export async function send(person: Person, { path }: Parcel): Promise<void> {
  await openChat(person);
  const input = await person.page.waitForSelector("input[data-attach]");
  await (input as ElementHandle<HTMLInputElement>).uploadFile(path);
}

/** How it stands with a file, on somebody's page. */
export async function stageOf({ page }: Person, name: string): Promise<string | undefined> {
  return page.$$eval(
    "[data-file]",
    (cards, name) => {
      const card = cards.find((card) => card.getAttribute("data-file") === name);
      return card?.getAttribute("data-stage") ?? undefined;
    },
    name,
  );
}

export async function comesTo(
  person: Person,
  name: string,
  stage: string,
  interval = patience.interval,
): Promise<void> {
  await openChat(person);
  await expect
    .poll(() => stageOf(person, name), {
      timeout: 40_000,
      interval,
      message: `${name} comes to ${stage} for ${person.name}`,
    })
    .toBe(stage);
}

/** The digests of all that a page was given to save. */
export function received(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const { parcels } = window as unknown as Keeping;
    const digests = parcels.map(async (parcel) => {
      const digest = await crypto.subtle.digest("SHA-256", await parcel.arrayBuffer());
      return [...new Uint8Array(digest)].map((it) => it.toString(16).padStart(2, "0")).join("");
    });
    return Promise.all(digests);
  });
}

/** Fetches a file and returns when its bytes are those that were sent. */
export async function fetches(person: Person, { name, digest }: Parcel): Promise<void> {
  await comesTo(person, name, "offered");
  await person.press(`Download ${name}`);
  await comesTo(person, name, "done");
  expect(await received(person.page)).toContain(digest);
}

/** Where the server keeps a file's chunks: it was begun last. */
export async function chunksOnDisk(): Promise<string[]> {
  const homes = (await readdir(tmpdir())).filter((name) => name.startsWith("conclave-"));
  const found: { path: string; at: number }[] = [];
  for (const home of homes) {
    const files = join(tmpdir(), home, "files");
    for (const file of await readdir(files).catch(() => [])) {
      const path = join(files, file);
      const { mtimeMs } = await stat(path);
      found.push({ path, at: mtimeMs });
    }
  }
  const last = found.sort((a, b) => b.at - a.at)[0];
  if (!last) throw new Error("the server keeps no file");
  return (await readdir(last.path)).sort().map((chunk) => join(last.path, chunk));
}
