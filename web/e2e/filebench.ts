import { mkdir, writeFile } from "node:fs/promises";
import type { Browser } from "puppeteer-core";
import { afterAll, expect } from "vitest";
import { launchChromium } from "./rig/browsers.ts";
import { comesTo, openChat } from "./rig/parcels.ts";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";

const SIZE = 256 << 20;
const ROUNDS = 5;

const browsers: Browser[] = [];

afterAll(async () => {
  for (const browser of browsers) await browser.close();
});

// Not a test of anything: how fast Chromium sends a file through the client, and the same number of
// bytes as they are, by as many requests at a time.
test("files", { timeout: 600_000 }, async ({ server, enter }) => {
  // Whoever watches a browser's requests is told their bodies as well, which takes most of the time.
  const browser = await launchChromium([], { networkEnabled: false });
  browsers.push(browser);
  const ada = await enter("Ada", "chromium", { browser, devices: false });
  const { page } = ada;
  await page.evaluateOnNewDocument(keepToken);
  await ada.startCall(server.url);
  await openChat(ada);
  await expect.poll(() => page.evaluate(() => "fileToken" in window)).toBe(true);
  const sealed: number[] = [];
  const plain: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const name = `file-${round}.bin`;
    await page.evaluate(make, name, SIZE);
    const began = Date.now();
    await page.evaluate(drop);
    await comesTo(ada, name, "done", 100);
    const took = Date.now() - began;
    const alone = await page.evaluate(putPlain);
    if (round === 0) continue;
    sealed.push(SIZE / 1e3 / took);
    plain.push(SIZE / 1e3 / alone);
  }
  const ratio = (median(sealed) / median(plain)).toFixed(2);
  const line = `Chromium sends: sealed ${spread(sealed)} MB/s, plain ${spread(plain)} MB/s, ratio ${ratio}`;
  await mkdir(`${root}/target/bench`, { recursive: true });
  await writeFile(`${root}/target/bench/files.txt`, `${line}\n`);
  console.log(line);
});

type Prepared = { fileToken: string; file: File };

/** Runs in the page: sees what its worker is told of our session. */
function keepToken(): void {
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (this: Worker, message: unknown, ...rest: unknown[]) {
    const told = message as { type?: string; token?: string };
    if (told.type === "token" && told.token) Object.assign(window, { fileToken: told.token });
    return Reflect.apply(post, this, [message, ...rest]);
  };
}

/** Runs in the page: makes a file, which takes its time. */
async function make(name: string, size: number): Promise<void> {
  const file = new File([new Uint8Array(size)], name);
  // It is where the browser keeps it once it can be read.
  await file.slice(size - 1).arrayBuffer();
  Object.assign(window, { file });
}

/** Runs in the page. */
function drop(): void {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add((window as unknown as Prepared).file);
  const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}

/** Runs in the page: sends the file as it is, and says how many milliseconds that took. */
async function putPlain(): Promise<number> {
  const { file, fileToken } = window as unknown as Prepared;
  const headers = { authorization: `Bearer ${fileToken}` };
  const size = file.size;
  const chunks = size >> 20;
  const body = JSON.stringify({ bytes: size + chunks * 16 });
  const declared = await fetch("/api/v1/files", { method: "POST", headers, body });
  const { id } = (await declared.json()) as { id: string };
  // The server takes chunks of one length only: each is as much longer as a sealed one.
  const tail = new Uint8Array(16);
  const began = performance.now();
  let next = 0;
  const lane = async () => {
    for (let number = next++; number < chunks; number = next++) {
      const path = `/api/v1/files/${id}/${number}`;
      const body = new Blob([file.slice(number << 20, (number + 1) << 20), tail]);
      const answer = await fetch(path, { method: "PUT", headers, body });
      if (!answer.ok) throw new Error(`${answer.status}`);
    }
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
  const took = performance.now() - began;
  await fetch(`/api/v1/files/${id}`, { method: "DELETE", headers });
  return took;
}

const sorted = (values: number[]) => [...values].sort((a, b) => a - b);

function median(values: number[]): number {
  return sorted(values)[(values.length - 1) / 2] ?? Number.NaN;
}

function spread(values: number[]): string {
  const all = sorted(values);
  return `${median(values).toFixed(0)} (${all[0]?.toFixed(0)}–${all.at(-1)?.toFixed(0)})`;
}
