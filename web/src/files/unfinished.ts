/**
 * What is needed to go on with a file after the page was reloaded or has crashed. It is kept for
 * as long as the file is on its way, and no longer: the key is among it.
 */
import type { SharedFile } from "../protocol/SharedFile";
import { answer, type Shelf, transactOver } from "../storage/database";
import { chunksOfFile } from "./sealed";

/** Browsers copy a file that they keep: larger ones have to be chosen again. */
const LARGEST_KEPT = 64 << 20;
/** As long as a server keeps a file that is not finished, and no longer than any. */
const STALE_MS = 24 * 3_600_000;

export interface Unfinished {
  /** What the file is called on the server. */
  readonly id: string;
  readonly room: string;
  readonly direction: "up" | "down";
  readonly file: SharedFile;
  /** When it was last changed, of a file that is on its way up: to know it again. */
  readonly modified: number | undefined;
  /** Its content, if it is small enough to be kept. */
  readonly content: File | undefined;
  /** Of one that is on its way down: where the person wants it, if they were asked. */
  readonly place: FileSystemFileHandle | undefined;
  readonly at: number;
}

const shelves = ["transfers", "sealed"] as const satisfies readonly Shelf[];

function forgetIn(store: (shelf: Shelf) => IDBObjectStore, id: string): Promise<unknown> {
  store("sealed").delete(chunksOfFile(id));
  return answer(store("transfers").delete(id));
}

/** All of every room; what is too old to go on with is forgotten. */
export function unfinished(): Promise<readonly Unfinished[]> {
  return transactOver(shelves, "readwrite", async (store) => {
    const all = (await answer(store("transfers").getAll())) as Unfinished[];
    const stale = all.filter(({ at }) => at < Date.now() - STALE_MS);
    for (const { id } of stale) await forgetIn(store, id);
    return all.filter((one) => !stale.includes(one));
  });
}

export async function unfinishedIn(room: string): Promise<readonly Unfinished[]> {
  const all = await unfinished().catch(() => []);
  return all.filter((one) => one.room === room);
}

/** False where nothing is kept, as in a private window: then nothing goes on after a reload. */
export async function keep(unfinished: Unfinished): Promise<boolean> {
  const { content } = unfinished;
  const kept = content && content.size <= LARGEST_KEPT ? content : undefined;
  try {
    await transactOver(["transfers"], "readwrite", (store) =>
      answer(store("transfers").put({ ...unfinished, content: kept })),
    );
    return true;
  } catch {
    return false;
  }
}

export async function forgetUnfinished(id: string): Promise<void> {
  await transactOver(shelves, "readwrite", (store) => forgetIn(store, id)).catch(() => undefined);
}
