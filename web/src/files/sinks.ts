/** Where a file goes as it comes in, chunk by chunk and in any order. */
import type { SharedFile } from "../protocol/SharedFile";
import { CHUNK } from "./layout";
import { openReceived } from "./received";
import { noSpace, Stuck } from "./trouble";

/** Files up to this size are kept in memory: a picture to look at is not worth a file. */
export const IN_MEMORY = 8 << 20;
/** The largest that is kept in memory where a browser offers nothing else. */
export const MOST_IN_MEMORY = 256 << 20;

export interface Sink {
  /** The chunks that it holds. Nothing but the sink knows that: what once was there may be gone. */
  readonly done: ReadonlySet<number>;
  /** What it holds outlives its closing. */
  readonly lasts: boolean;
  write(chunk: number, bytes: ArrayBuffer): void | Promise<void>;
  /** What was written so far outlives a crash, if the sink lasts. */
  settle(): void;
  /** All is there. The file, unless it is where the person wanted it. */
  finish(): Promise<Blob | undefined>;
  /** It goes on later, or never. */
  close(): Promise<void>;
}

function inMemory(size: number): Sink {
  const chunks = new Map<number, ArrayBuffer>();
  const done = new Set<number>();
  return {
    done,
    lasts: false,
    write(chunk, bytes) {
      chunks.set(chunk, bytes);
      done.add(chunk);
    },
    settle() {},
    async finish() {
      const parts = [...chunks].sort(([a], [b]) => a - b).map(([, bytes]) => bytes);
      const blob = new Blob(parts);
      if (blob.size !== size) throw new Stuck("broken");
      return blob;
    },
    async close() {
      chunks.clear();
      done.clear();
    },
  };
}

/** A place that the person has picked. Nothing is to be seen there before all is. */
async function atPlace(place: FileSystemFileHandle): Promise<Sink> {
  const writable = await place.createWritable();
  const done = new Set<number>();
  return {
    done,
    lasts: false,
    async write(chunk, data) {
      const position = chunk * CHUNK;
      await writable.write({ type: "write", position, data }).catch((error: unknown) => {
        throw noSpace(error);
      });
      done.add(chunk);
    },
    settle() {},
    async finish() {
      await writable.close();
      return undefined;
    },
    close: () => writable.abort(),
  };
}

/** The best place that this browser has for a file. */
export async function openSink(
  file: SharedFile,
  place: FileSystemFileHandle | undefined,
): Promise<Sink> {
  const { size } = file;
  if (place) return atPlace(place);
  if (size <= IN_MEMORY) return inMemory(size);
  try {
    return await openReceived(file);
  } catch (error) {
    if (error instanceof Stuck) throw error;
    // As in private windows of some browsers, or while another window receives the same file.
    if (size <= MOST_IN_MEMORY) return inMemory(size);
    throw new Stuck("too-large-here");
  }
}
