/**
 * What was received and lies in the browser's own file system: it outlives the page, and all windows
 * see the same. A lock of its own says of each file that some window needs it.
 */
import type { SharedFile } from "../protocol/SharedFile";
import { CHUNK, chunksOf } from "./layout";
import type { Sink } from "./sinks";
import { noSpace, Stuck } from "./trouble";

const FOLDER = "received files";

/** Of files in the browser's own file system, in a worker (WHATWG File System §2.8). */
interface SyncAccess {
  read(bytes: Uint8Array, options: { at: number }): number;
  write(bytes: ArrayBuffer | Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type Accessible = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccess> };

async function folder(create = false): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create });
}

/** By all that tells what is in it: nobody else's file of the same `id` is ever taken for it. */
export async function nameOf({ id, key, size }: SharedFile): Promise<string> {
  const text = new TextEncoder().encode(JSON.stringify([id, key, size]));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const lockOf = (name: string) => `received file ${name}`;

/** What this window needs, and how to say that it no longer does. All of it ends with the worker. */
const held = new Map<string, () => Promise<void>>();

async function hold(name: string): Promise<void> {
  if (held.has(name)) return;
  await new Promise<void>((resolve, reject) => {
    const request = navigator.locks.request(
      lockOf(name),
      { mode: "shared" },
      () =>
        new Promise<void>((release) => {
          held.set(name, async () => {
            release();
            await request;
          });
          resolve();
        }),
    );
    request.catch(reject);
  });
}

async function letGo(name: string): Promise<void> {
  const release = held.get(name);
  held.delete(name);
  await release?.();
}

/** Deletes a file unless a window needs it. */
async function removeUnheld(name: string, isWanted: () => Promise<boolean>): Promise<void> {
  await navigator.locks.request(lockOf(name), { ifAvailable: true }, async (lock) => {
    if (lock && !(await isWanted())) await (await folder()).removeEntry(name);
  });
}

/**
 * Behind the content the file says which chunks are in it, a bit for each. Who has it open is the
 * only one, so what it says is true whoever wrote it.
 */
export async function openReceived(file: SharedFile): Promise<Sink> {
  const name = await nameOf(file);
  await hold(name);
  try {
    const create = true;
    const handle = await (await folder(create)).getFileHandle(name, { create });
    return await received(handle as Accessible, file.size);
  } catch (error) {
    await letGo(name);
    throw error;
  }
}

async function received(handle: Accessible, size: number): Promise<Sink> {
  const access = await handle.createSyncAccessHandle();
  const bits = new Uint8Array(Math.ceil(chunksOf(size) / 8));
  const done = new Set<number>();
  let isOpen = true;
  let isNews = false;
  const close = () => {
    if (isOpen) access.close();
    isOpen = false;
  };
  /** In this order: whatever happens in between, what the bits say is there. */
  const settle = () => {
    if (!isNews) return;
    access.flush();
    access.write(bits, { at: size });
    isNews = false;
  };
  try {
    if (access.getSize() === size + bits.length) access.read(bits, { at: size });
    else {
      access.truncate(0);
      // Says at once if there is no room for it.
      access.truncate(size + bits.length);
    }
  } catch (error) {
    close();
    throw noSpace(error);
  }
  for (let chunk = 0; chunk < chunksOf(size); chunk += 1) {
    if ((bits[chunk >> 3] ?? 0) & (1 << (chunk & 7))) done.add(chunk);
  }
  return {
    done,
    lasts: true,
    write(chunk, bytes) {
      try {
        const written = access.write(bytes, { at: chunk * CHUNK });
        if (written !== bytes.byteLength) throw new Stuck("no-space");
      } catch (error) {
        throw noSpace(error);
      }
      bits[chunk >> 3] = (bits[chunk >> 3] ?? 0) | (1 << (chunk & 7));
      done.add(chunk);
      isNews = true;
    },
    settle,
    async finish() {
      settle();
      access.flush();
      close();
      return (await handle.getFile()).slice(0, size);
    },
    async close() {
      if (!isOpen) return;
      try {
        settle();
      } finally {
        close();
      }
    },
  };
}

/** Deletes what was received of a file; another window may still need it. */
export async function discard(file: SharedFile): Promise<void> {
  const name = await nameOf(file);
  await letGo(name);
  // There may be no such file, or no such file system.
  await removeUnheld(name, async () => false).catch(() => undefined);
}

/** Deletes all that no window needs and nobody goes on with. */
export async function discardAllBut(wanted: () => Promise<readonly SharedFile[]>): Promise<void> {
  // Asked for each anew: a window may have been closed since, for somebody to go on later.
  const isWanted = async (name: string) => {
    const names = await Promise.all((await wanted()).map(nameOf));
    return names.includes(name);
  };
  for await (const [name] of await folder()) {
    await removeUnheld(name, () => isWanted(name)).catch(() => undefined);
  }
}
