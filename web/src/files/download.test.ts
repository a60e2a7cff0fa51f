import { beforeEach, expect, test, vi } from "vitest";
import type { SharedFile } from "../protocol/SharedFile";
import { Origin, Place } from "./origin.fake";
import { contentFor, FileServer, isSame, letAllThrough, letThrough, patience } from "./server.fake";

/** More than is kept in memory where there is anything else. */
const SIZE = (9 << 20) + 77;
const CHUNKS = 10;
const content = contentFor(SIZE);

let origin: Origin;
let server: FileServer;
let file: SharedFile;

beforeEach(async () => {
  origin = new Origin();
  server = new FileServer();
  vi.stubGlobal("navigator", origin.navigator);
  vi.stubGlobal("fetch", server.fetch);
  file = await server.store(content);
});

/** In a window of its own, which knows nothing of the others but what they share. */
async function inWindow(place?: Place) {
  vi.resetModules();
  const { Download } = await import("./download");
  const download = new Download(() => "token", file, place?.handle);
  const run = (signal = new AbortController().signal) => {
    const told: number[] = [];
    const pause = async () => undefined;
    const ended = download.run({ signal, waits: () => undefined, pause }, (bytes) => {
      told.push(bytes);
    });
    return { ended, told };
  };
  /** Runs until so many chunks were given, and pauses. */
  const pauseAfter = async (count: number) => {
    const control = new AbortController();
    const reached = letThrough(server, count);
    const { ended, told } = run(control.signal);
    ended.catch(() => undefined);
    await reached;
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(count), patience);
    control.abort();
    await expect(ended).rejects.toThrow();
    letAllThrough(server);
  };
  return { download, run, pauseAfter };
}

const bytesOf = async (received: Blob | undefined) =>
  received && new Uint8Array(await received.arrayBuffer());

const isWhole = async (received: Blob | undefined) => isSame(await bytesOf(received), content);

test("what was received before a reload is not fetched again", async () => {
  await (await inWindow()).pauseAfter(6);
  origin.closeWindows();
  server.gets.length = 0;
  const { ended, told } = (await inWindow()).run();
  expect(await isWhole(await ended)).toBe(true);
  expect(server.gets).toHaveLength(CHUNKS - 6);
  expect(told[0]).toBeGreaterThanOrEqual(5 << 20);
});

test("one window does not take for received what another one did not write", async () => {
  const [first, second] = [await inWindow(), await inWindow()];
  const stop = new AbortController();
  void letThrough(server, 2);
  const running = first.run(stop.signal).ended;
  running.catch(() => undefined);
  // Two are through, and four wait.
  await vi.waitFor(() => expect(server.gets).toHaveLength(6), patience);
  // The first has it open: the second takes it into memory.
  await second.pauseAfter(7);
  stop.abort();
  await expect(running).rejects.toThrow();
  // A third goes on with what the first has written, and with nothing else.
  const third = await inWindow();
  server.gets.length = 0;
  expect(await isWhole(await third.run().ended)).toBe(true);
  expect(server.gets).toHaveLength(CHUNKS - 2);
  expect(await isWhole(await second.run().ended)).toBe(true);
});

test("a file that another window threw away and began anew is not taken for the old one", async () => {
  const [first, second] = [await inWindow(), await inWindow()];
  await first.pauseAfter(8);
  origin.closeWindows();
  await second.download.discard();
  await second.pauseAfter(1);
  expect(await isWhole(await first.run().ended)).toBe(true);
});

test("where there is no file system, a pause keeps what is in memory", async () => {
  origin.hasFileSystem = false;
  const { run, pauseAfter } = await inWindow();
  await pauseAfter(6);
  server.gets.length = 0;
  expect(await isWhole(await run().ended)).toBe(true);
  expect(server.gets).toHaveLength(CHUNKS - 6);
});

test("after a pause it goes on to the place that the person picked", async () => {
  const place = new Place();
  const { run, pauseAfter } = await inWindow(place);
  await pauseAfter(6);
  server.gets.length = 0;
  await run().ended;
  expect(isSame(place.content, content)).toBe(true);
  expect(server.gets).toHaveLength(CHUNKS - 6);
  expect(place.opened).toBe(1);
  expect(origin.entries.size).toBe(0);
});

test.each([
  ["in memory", false, undefined],
  ["at a place", true, new Place()],
])("what failed %s begins anew, and says so", async (_, hasFileSystem, place) => {
  origin.hasFileSystem = hasFileSystem;
  const { run } = await inWindow(place);
  server.meet = async (chunk) => (chunk === 7 ? new Response("", { status: 400 }) : undefined);
  await expect(run().ended).rejects.toMatchObject({ trouble: "broken" });
  letAllThrough(server);
  server.gets.length = 0;
  const { ended, told } = run();
  const received = await bytesOf(await ended);
  expect(isSame(place ? place.content : received, content)).toBe(true);
  expect(server.gets).toHaveLength(CHUNKS);
  expect(told[0]).toBe(0);
});

test("what the file system fails at is forgotten, so that it can be tried again", async () => {
  const { run, pauseAfter } = await inWindow();
  await pauseAfter(4);
  origin.fault = new DOMException("", "InvalidStateError");
  await expect(run().ended).rejects.toThrow();
  origin.fault = undefined;
  expect(origin.entries.size).toBe(0);
  expect(await isWhole(await run().ended)).toBe(true);
});

test("nothing is kept of a file that was tampered with", async () => {
  const { run } = await inWindow();
  server.stored.get(file.id)?.chunks.get(5)?.fill(7);
  await expect(run().ended).rejects.toThrow("not what was sealed");
  expect(origin.entries.size).toBe(0);
});

test("what another window has received is had at once, and left as it is", async () => {
  await (await inWindow()).run().ended;
  const [entry] = origin.entries.values();
  const changes = entry?.changes;
  server.gets.length = 0;
  expect(await isWhole(await (await inWindow()).run().ended)).toBe(true);
  expect(server.gets).toEqual([]);
  expect(entry?.changes).toBe(changes);
});

test("another file of the same name on the server is not taken for it", async () => {
  await (await inWindow()).run().ended;
  const other = await server.store(contentFor(SIZE, 5));
  server.stored.set(file.id, server.stored.get(other.id) ?? { chunks: new Map(), count: 0 });
  file = { ...other, id: file.id };
  const received = await (await inWindow()).run().ended;
  expect(isSame(await bytesOf(received), contentFor(SIZE, 5))).toBe(true);
});
