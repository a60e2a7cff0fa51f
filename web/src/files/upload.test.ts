import { beforeEach, expect, test, vi } from "vitest";
import { CHUNK } from "./layout";
import type { SealedChunk, SealedShelf } from "./sealed";
import { contentFor, FileServer, isSame, letAllThrough, letThrough, patience } from "./server.fake";
import { drawKey } from "./stream";
import { Stuck } from "./trouble";
import type { Unfinished } from "./unfinished";
import { type Kept, Upload } from "./upload";

const CHUNKS = 10;
const SIZE = 9 * CHUNK + 77;
const content = contentFor(SIZE);

/** What a browser keeps, without a browser: rows and what was sealed of each. */
class Memory implements Kept {
  readonly rows = new Map<string, Unfinished>();
  readonly digests = new Map<string, Map<number, Uint8Array>>();
  /** How many were written down together. */
  readonly batches: number[] = [];
  isFull = false;

  async keep(unfinished: Unfinished) {
    if (this.isFull) return false;
    this.rows.set(unfinished.id, unfinished);
    return true;
  }

  readonly sealed: SealedShelf = {
    of: async (file) =>
      [...(this.digests.get(file) ?? [])].map(([chunk, digest]) => ({ chunk, digest })),
    note: async (file: string, chunks: readonly SealedChunk[]) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (this.isFull) throw new DOMException("", "QuotaExceededError");
      if (!this.rows.has(file)) throw new Stuck("no-such-file");
      const known = this.digests.get(file) ?? new Map<number, Uint8Array>();
      for (const { chunk, digest } of chunks) {
        const before = known.get(chunk);
        if (before && !isSame(before, digest)) throw new Stuck("changed");
        known.set(chunk, digest);
      }
      this.digests.set(file, known);
      this.batches.push(chunks.length);
    },
  };
}

let server: FileServer;
let kept: Memory;

beforeEach(() => {
  server = new FileServer();
  kept = new Memory();
  vi.stubGlobal("fetch", server.fetch);
});

/** A file on somebody's disk. */
class OnDisk {
  bytes = content;

  get blob(): Blob {
    return { slice: (from: number, to: number) => new Blob([this.bytes.slice(from, to)]) } as Blob;
  }

  /** In one chunk, a single byte: length and time stay. */
  change(chunk: number): void {
    this.bytes = this.bytes.slice();
    this.bytes[chunk * CHUNK] = (this.bytes[chunk * CHUNK] ?? 0) ^ 1;
  }
}

const named = { id: "", key: drawKey(), size: SIZE, name: "a file", kind: "" };

function sender(disk: OnDisk, id = "") {
  const file = { ...named, id };
  const sending = { file, content: disk.blob, room: "room", modified: 1 };
  const upload = new Upload(() => "token", sending, kept);
  const run = (signal = new AbortController().signal) => {
    const progress: number[] = [];
    const pause = async () => undefined;
    const ended = upload.run(
      { signal, waits: () => undefined, pause },
      { declared: () => undefined, progress: (bytes) => progress.push(bytes) },
    );
    ended.catch(() => undefined);
    return { ended, progress };
  };
  /** Runs until so many chunks are stored and as many as can be are on their way, and pauses. */
  const pauseAfter = async (count: number) => {
    const control = new AbortController();
    void letThrough(server, count);
    const expected = server.puts.length + count + 4;
    const { ended } = run(control.signal);
    await vi.waitFor(() => expect(server.puts).toHaveLength(expected), patience);
    control.abort();
    await expect(ended).rejects.toThrow();
    letAllThrough(server);
  };
  return { upload, run, pauseAfter };
}

/** No chunk was ever sent with two contents, as it would have to be sealed with one nonce. */
function sentOnceOnly(): boolean {
  const sent = new Map<string, Uint8Array>();
  return server.puts.every(({ id, chunk, sealed }) => {
    const before = sent.get(`${id} ${chunk}`);
    sent.set(`${id} ${chunk}`, sealed);
    return !before || isSame(before, sealed);
  });
}

const arrived = async (id = "file 1") =>
  isSame(await server.opened({ ...named, id }), content) &&
  server.stored.get(id)?.chunks.size === CHUNKS;

test("what is sealed is written down before it is sent, several at a time", async () => {
  const unknown: number[] = [];
  server.meet = async (chunk) => {
    if (!kept.digests.get("file 1")?.has(chunk)) unknown.push(chunk);
    return undefined;
  };
  await sender(new OnDisk()).run().ended;
  expect(unknown).toEqual([]);
  expect(await arrived()).toBe(true);
  expect(kept.batches.length).toBeLessThan(CHUNKS);
});

test("a file that is the same goes on after a pause and after a reload", async () => {
  const disk = new OnDisk();
  const first = sender(disk);
  await first.pauseAfter(2);
  await first.pauseAfter(2);
  server.puts.length = 0;
  await sender(disk, "file 1").run().ended;
  expect(await arrived()).toBe(true);
  expect(server.puts).toHaveLength(CHUNKS - 4);
});

test("a chunk that was on its way is not sealed again when it was changed in a pause", async () => {
  const disk = new OnDisk();
  const { run, pauseAfter } = sender(disk);
  await pauseAfter(2);
  disk.change(3);
  await expect(run().ended).rejects.toMatchObject({ trouble: "changed" });
  expect(sentOnceOnly()).toBe(true);
  // Nobody needs what the server has of it.
  expect(server.deleted).toEqual(["file 1"]);
});

test("nor where the browser keeps nothing", async () => {
  kept.isFull = true;
  const disk = new OnDisk();
  const { run, pauseAfter } = sender(disk);
  await pauseAfter(2);
  disk.change(3);
  await expect(run().ended).rejects.toMatchObject({ trouble: "changed" });
  expect(sentOnceOnly()).toBe(true);
});

test("nor when it is sent a second time because the first failed", async () => {
  const disk = new OnDisk();
  server.meet = async () => {
    server.meet = async () => undefined;
    for (let chunk = 0; chunk < CHUNKS; chunk += 1) disk.change(chunk);
    return new Response("", { status: 503 });
  };
  await sender(disk)
    .run()
    .ended.catch(() => undefined);
  expect(server.puts.length).toBeGreaterThan(1);
  expect(sentOnceOnly()).toBe(true);
});

test.each([
  ["on its way", 4],
  ["stored", 0],
])("a file is not gone on with after a reload if a chunk that was %s differs", async (_, chunk) => {
  const disk = new OnDisk();
  await sender(disk).pauseAfter(2);
  disk.change(chunk);
  server.puts.length = 0;
  const { ended } = sender(disk, "file 1").run();
  await expect(ended).rejects.toMatchObject({ trouble: "changed" });
  expect(server.puts).toEqual([]);
});

test("a server that says it has nothing gets nothing else", async () => {
  const disk = new OnDisk();
  const { run, pauseAfter } = sender(disk);
  await pauseAfter(6);
  server.lie = [[0, CHUNKS]];
  disk.change(1);
  await expect(run().ended).rejects.toMatchObject({ trouble: "changed" });
  expect(sentOnceOnly()).toBe(true);
});

test("two windows that go on with one file seal the same", async () => {
  const [disk, other] = [new OnDisk(), new OnDisk()];
  const first = sender(disk);
  await first.pauseAfter(0);
  // Both know what was sealed until now, which is not chunk 8.
  const second = sender(other, "file 1");
  await second.pauseAfter(0);
  await first.run().ended;
  other.change(8);
  server.lie = [[0, CHUNKS]];
  await expect(second.run().ended).rejects.toMatchObject({ trouble: "changed" });
  expect(sentOnceOnly()).toBe(true);
});

test("nobody goes on with a file that another window has finished or called off", async () => {
  const disk = new OnDisk();
  await sender(disk).pauseAfter(2);
  kept.rows.clear();
  kept.digests.clear();
  server.puts.length = 0;
  const { ended } = sender(disk, "file 1").run();
  await expect(ended).rejects.toMatchObject({ trouble: "no-such-file" });
  expect(server.puts).toEqual([]);
});

test("what can't be written down is not sent while somebody may go on with the file", async () => {
  const { run, pauseAfter } = sender(new OnDisk());
  await pauseAfter(0);
  await vi.waitFor(() => expect(kept.digests.get("file 1")?.size).toBe(8), patience);
  kept.isFull = true;
  await expect(run().ended).rejects.toMatchObject({ trouble: "no-space" });
  expect(server.puts.some(({ chunk }) => chunk >= 8)).toBe(false);
  kept.isFull = false;
  await run().ended;
  expect(await arrived()).toBe(true);
});

test("where a browser keeps nothing, files are sent all the same", async () => {
  kept.isFull = true;
  await sender(new OnDisk()).run().ended;
  expect(await arrived()).toBe(true);
});
