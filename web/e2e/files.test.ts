import { readFile, rename, writeFile } from "node:fs/promises";
import { afterAll, expect } from "vitest";
import {
  chunksOnDisk,
  comesTo,
  discardParcels,
  fetches,
  keepParcels,
  openChat,
  parcel,
  received,
  send,
} from "./rig/parcels.ts";
import { type Person, patience } from "./rig/person.ts";
import { type Enter, test } from "./rig/test.ts";
import { Wire } from "./rig/wire.ts";

afterAll(discardParcels);

async function withoutCamera(enter: Enter, name: string, kind: "chromium" | "firefox") {
  const person = await enter(name, kind, { devices: false });
  await person.page.evaluateOnNewDocument(keepParcels);
  return person;
}

test("files go from Chromium to Firefox and back, through a pause, a broken line and a reload", {
  timeout: 150_000,
}, async ({ server, enter }) => {
  const wire = new Wire(server, 3 << 20);
  const slow = await wire.start();
  const ada = await withoutCamera(enter, "Ada", "chromium");
  const grace = await withoutCamera(enter, "Grace", "firefox");
  const link = await ada.startCall(slow);
  await grace.join(link.replace(slow, server.url));
  await ada.seesTilesOf("Grace");

  const large = await parcel("large.bin", 11_000_000);
  await send(ada, large);
  await comesTo(ada, large.name, "running");
  await throughOf(ada, large.name, 1);
  await ada.press(`Pause ${large.name}`);
  await comesTo(ada, large.name, "paused");
  await ada.press(`Resume ${large.name}`);
  await comesTo(ada, large.name, "running");
  // The line breaks; it goes on by itself.
  const before = await throughOf(ada, large.name, 1);
  wire.cut();
  await throughOf(ada, large.name, before + 1_000_000);
  // The page is loaded anew in the middle of it.
  await ada.page.goto("about:blank");
  await ada.join(link);
  await comesTo(ada, large.name, "paused");
  wire.bytesPerSecond = 1 << 30;
  await ada.press(`Resume ${large.name}`);
  await fetches(grace, large);
  await comesTo(ada, large.name, "done");
  // What was there already was not sent again.
  expect(await server.metric("conclave_files_chunks_total")).toBeLessThan(11 + 8);

  const small = await parcel("small.bin", 3_000_001);
  await send(grace, small);
  await fetches(ada, small);
  wire.stop();
});

test("a file that the server has changed or put together otherwise is refused", async ({
  server,
  enter,
}) => {
  const ada = await withoutCamera(enter, "Ada", "firefox");
  const grace = await withoutCamera(enter, "Grace", "chromium");
  const link = await ada.startCall(server.url);
  await grace.join(link);
  await ada.seesTilesOf("Grace");

  const changed = await parcel("changed.bin", 2_500_000);
  await send(ada, changed);
  await comesTo(ada, changed.name, "done");
  const [, second = ""] = await chunksOnDisk();
  const bytes = await readFile(second);
  bytes[1234] = (bytes[1234] ?? 0) ^ 1;
  await writeFile(second, bytes);
  await isRefused(grace, changed.name);

  const swapped = await parcel("swapped.bin", 2_500_000);
  await send(ada, swapped);
  await comesTo(ada, swapped.name, "done");
  const [first = "", next = ""] = await chunksOnDisk();
  await rename(first, `${first}.away`);
  await rename(next, first);
  await rename(`${first}.away`, next);
  await isRefused(grace, swapped.name);
  expect(await received(grace.page)).toEqual([]);
});

test("pictures are shown when they are dropped, and nothing else is", async ({ server, enter }) => {
  const ada = await withoutCamera(enter, "Ada", "chromium");
  const grace = await withoutCamera(enter, "Grace", "firefox");
  const link = await ada.startCall(server.url);
  await grace.join(link);
  await ada.seesTilesOf("Grace");

  await drop(ada, "dot.png", "image/png", [...Buffer.from(DOT, "base64")]);
  for (const person of [ada, grace]) {
    await openChat(person);
    await expect
      .poll(
        () =>
          person.page.$$eval("img.file-picture", (pictures) =>
            pictures.map((it) => (it as HTMLImageElement).naturalWidth),
          ),
        { ...patience, message: `${person.name} sees the picture` },
      )
      .toEqual([2]);
  }
  const drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
  await drop(ada, "drawing.png", "image/png", [...Buffer.from(drawing)]);
  // It was fetched as a picture is, and turned out to be none.
  await comesTo(grace, "drawing.png", "done");
  expect(await grace.page.$$("img.file-picture")).toHaveLength(1);
});

/** A PNG of two pixels by two. */
const DOT =
  "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg==";

/** Waits until so many bytes of a file are through, and says how many. */
async function throughOf(person: Person, name: string, least: number): Promise<number> {
  const through = () =>
    person.page.$$eval(
      "[data-file]",
      (cards, name) => {
        const card = cards.find((card) => card.getAttribute("data-file") === name);
        return card?.querySelector("progress")?.value ?? 0;
      },
      name,
    );
  await expect
    .poll(through, { timeout: 20_000, interval: 50, message: `${name} gets on` })
    .toBeGreaterThanOrEqual(least);
  return through();
}

async function isRefused(person: Person, name: string): Promise<void> {
  await comesTo(person, name, "offered");
  await person.press(`Download ${name}`);
  await comesTo(person, name, "failed");
  await person.isStoppedBy(/not what was sent/);
}

/** Drops a file on the page, as if it had been dragged there. */
async function drop(person: Person, name: string, type: string, bytes: number[]): Promise<void> {
  await person.page.evaluate(
    (name, type, bytes) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([Uint8Array.from(bytes)], name, { type }));
      for (const kind of ["dragover", "drop"]) {
        const event = new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
        document.body.dispatchEvent(event);
      }
    },
    name,
    type,
    bytes,
  );
}
