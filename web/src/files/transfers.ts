/** A file on its way up or down, chunk by chunk. Runs in the worker. */
import type { SharedFile } from "../protocol/SharedFile";
import { type Conditions, inLanes, insist } from "./lanes";
import {
  chunksOf,
  contentOf,
  numbersIn,
  type Ranges,
  sealedLength,
  sealedOf,
  without,
} from "./layout";
import { declare, getPart, progressOf, putChunk, type Token } from "./server";
import { openSink } from "./sinks";
import { FileStream } from "./stream";
import { Stuck } from "./trouble";

/** Browsers hold six connections to a server, and the page needs some. */
const LANES = 4;
/** So often, in chunks, it is written down how far a download has come. */
const SETTLED_EVERY = 16;

export interface Report {
  declared(id: string): void;
  /** Bytes of content that are through. */
  progress(bytes: number): void;
  settled(done: Ranges): void;
}

async function read(file: Blob, start: number, end: number): Promise<ArrayBuffer> {
  try {
    return await file.slice(start, end).arrayBuffer();
  } catch {
    throw new Stuck("unreadable");
  }
}

export async function upload(
  token: Token,
  file: Blob,
  key: string,
  begun: string | undefined,
  conditions: Conditions,
  report: Report,
): Promise<void> {
  const { size } = file;
  const stream = await FileStream.of(key, size);
  const { signal } = conditions;
  let missing: Ranges = [[0, chunksOf(size)]];
  let id = begun;
  if (id === undefined) {
    ({ id } = await insist(conditions, () => declare(token, sealedLength(size), signal)));
    report.declared(id);
  } else {
    const known = id;
    ({ missing } = await insist(conditions, () => progressOf(token, known, signal)));
  }
  const name = id;
  const left = sizeOf(size, numbersIn(missing));
  let through = size - left;
  report.progress(through);
  await inLanes(numbersIn(missing), LANES, conditions, async (chunk, signal) => {
    const { start, end } = contentOf(size, chunk);
    const content = await read(file, start, end);
    if (content.byteLength !== end - start) throw new Stuck("unreadable");
    await putChunk(token, name, chunk, await stream.seal(chunk, content), signal);
    through += end - start;
    report.progress(through);
  });
}

/** Every chunk is opened before it is written: what is there is what was sealed. */
export async function download(
  token: Token,
  { id, key, size }: SharedFile,
  before: Ranges,
  place: FileSystemFileHandle | undefined,
  conditions: Conditions,
  report: Report,
): Promise<Blob | undefined> {
  const stream = await FileStream.of(key, size);
  const sink = await openSink(id, size, place);
  const chunks = chunksOf(size);
  const done = new Set(numbersIn(before));
  const settle = () => {
    sink.settle();
    // The complement of what is missing.
    const missing = new Set(numbersIn(without(done, chunks)));
    report.settled(without(missing, chunks));
  };
  try {
    let through = sizeOf(size, done);
    report.progress(through);
    await inLanes(numbersIn(without(done, chunks)), LANES, conditions, async (chunk, signal) => {
      const sealed = await getPart(token, id, sealedOf(size, chunk), signal);
      const content = await stream.open(chunk, sealed);
      const { start, end } = contentOf(size, chunk);
      await sink.write(start, content);
      done.add(chunk);
      through += end - start;
      report.progress(through);
      if (done.size % SETTLED_EVERY === 0) settle();
    });
    return await sink.finish();
  } catch (error) {
    if (!(error instanceof Stuck)) settle();
    throw error;
  } finally {
    await sink.close().catch(() => undefined);
  }
}

function sizeOf(size: number, chunks: Iterable<number>): number {
  let bytes = 0;
  for (const chunk of chunks) {
    const { start, end } = contentOf(size, chunk);
    bytes += end - start;
  }
  return bytes;
}
