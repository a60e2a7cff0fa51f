/**
 * What is needed to go on with a file after the page was reloaded or has crashed. It is kept for
 * as long as the file is on its way, and no longer: the key is among it.
 */
import type { SharedFile } from "../protocol/SharedFile";
import { answer, transact } from "../storage/database";
import type { Ranges } from "./layout";

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
  /** Of one that is on its way down. */
  readonly done: Ranges;
  readonly at: number;
}

const shelf = "transfers";

/** All of a room; what is too old to go on with is forgotten. */
export async function unfinishedIn(room: string): Promise<readonly Unfinished[]> {
  try {
    return await transact(shelf, "readwrite", async (store) => {
      const all = (await answer(store.getAll())) as Unfinished[];
      const stale = all.filter(({ at }) => at < Date.now() - STALE_MS);
      for (const { id } of stale) store.delete(id);
      return all.filter((one) => one.room === room && !stale.includes(one));
    });
  } catch {
    return [];
  }
}

/** Nothing is kept in a private window; then nothing goes on after a reload. */
export async function keep(unfinished: Unfinished): Promise<void> {
  const { content } = unfinished;
  const kept = content && content.size <= LARGEST_KEPT ? content : undefined;
  await transact(shelf, "readwrite", (store) =>
    answer(store.put({ ...unfinished, content: kept })),
  ).catch(() => undefined);
}

export async function forgetUnfinished(id: string): Promise<void> {
  await transact(shelf, "readwrite", (store) => answer(store.delete(id))).catch(() => undefined);
}
