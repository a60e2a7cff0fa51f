/** Where a file goes as it comes in, chunk by chunk and in any order. */
import { Stuck } from "./trouble";

/** Files up to this size are kept in memory: a picture to look at is not worth a file. */
export const IN_MEMORY = 8 << 20;
/** The largest that is kept in memory where a browser offers nothing else. */
export const MOST_IN_MEMORY = 256 << 20;
/** Where the browser's own file system has those that are not finished. */
const FOLDER = "received files";

export interface Sink {
  write(at: number, bytes: ArrayBuffer): void | Promise<void>;
  /** What was written so far outlives a crash. */
  settle(): void;
  /** All is there. The file, unless it is where the person wanted it. */
  finish(): Promise<Blob | undefined>;
  /** It goes on later, or never. */
  close(): Promise<void>;
}

/** Of files in the browser's own file system, in a worker (WHATWG File System §2.8). */
interface SyncAccess {
  write(bytes: ArrayBuffer, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type Accessible = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccess> };

function noSpace(error: unknown): unknown {
  const isFull = error instanceof DOMException && error.name === "QuotaExceededError";
  return isFull ? new Stuck("no-space") : error;
}

function inMemory(size: number): Sink {
  const chunks = new Map<number, ArrayBuffer>();
  return {
    write(at, bytes) {
      chunks.set(at, bytes);
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
    },
  };
}

async function folder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

async function inBrowser(id: string, size: number): Promise<Sink> {
  const handle = (await (await folder()).getFileHandle(id, { create: true })) as Accessible;
  const access = await handle.createSyncAccessHandle();
  let open = true;
  const close = () => {
    if (open) access.close();
    open = false;
  };
  try {
    // Says at once if there is no room for it.
    if (access.getSize() !== size) access.truncate(size);
  } catch (error) {
    close();
    throw noSpace(error);
  }
  return {
    write(at, bytes) {
      try {
        const written = access.write(bytes, { at });
        if (written !== bytes.byteLength) throw new Stuck("no-space");
      } catch (error) {
        throw noSpace(error);
      }
    },
    settle: () => access.flush(),
    async finish() {
      access.flush();
      close();
      return handle.getFile();
    },
    async close() {
      close();
    },
  };
}

/** A place that the person has picked. Nothing is to be seen there before all is. */
async function atPlace(place: FileSystemFileHandle): Promise<Sink> {
  const writable = await place.createWritable();
  return {
    async write(position, data) {
      await writable.write({ type: "write", position, data }).catch((error: unknown) => {
        throw noSpace(error);
      });
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
  id: string,
  size: number,
  place: FileSystemFileHandle | undefined,
): Promise<Sink> {
  if (place) return atPlace(place);
  if (size <= IN_MEMORY) return inMemory(size);
  try {
    return await inBrowser(id, size);
  } catch (error) {
    if (error instanceof Stuck) throw error;
    // As in private windows of some browsers.
    if (size <= MOST_IN_MEMORY) return inMemory(size);
    throw new Stuck("too-large-here");
  }
}

/** Whether what was written before is still there. */
export async function isKept(id: string, size: number): Promise<boolean> {
  try {
    const handle = await (await folder()).getFileHandle(id);
    return (await handle.getFile()).size === size;
  } catch {
    return false;
  }
}

/** Deletes what was received of a file. */
export async function discard(id: string): Promise<void> {
  try {
    await (await folder()).removeEntry(id);
  } catch {
    // It is not there, or another window has it open.
  }
}

/** Deletes all that nobody goes on with: neither one of these nor touched for a day. */
export async function tidy(wanted: ReadonlySet<string>): Promise<void> {
  const dayAgo = Date.now() - 24 * 3_600_000;
  try {
    for await (const [id, handle] of await folder()) {
      if (wanted.has(id) || handle.kind !== "file") continue;
      const { lastModified } = await (handle as FileSystemFileHandle).getFile();
      if (lastModified < dayAgo) await discard(id);
    }
  } catch {
    // There is no such file system here.
  }
}
