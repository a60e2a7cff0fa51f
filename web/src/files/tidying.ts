/**
 * Deleting what was kept for files that nobody goes on with, and what was received and is no
 * longer needed. No window can do that as it closes, so the next one does.
 */
import { discardAllBut } from "./received";
import { unfinished } from "./unfinished";

/** For the page to start first. */
const AFTER_START_MS = 3_000;
/** A browser that saves a file reads it by name at first, and may ask the person before. */
const AFTER_CALL_MS = 60_000;

const wanted = async () =>
  (await unfinished()).filter(({ direction }) => direction === "down").map(({ file }) => file);

async function tidy(): Promise<void> {
  // What is stale is forgotten where there is no such file system as well.
  await wanted();
  await discardAllBut(wanted);
}

function tidyIn(ms: number): void {
  // A browser that keeps nothing has nothing to tidy.
  setTimeout(() => void tidy().catch(() => undefined), ms);
}

export const tidyAfterStart = () => tidyIn(AFTER_START_MS);
export const tidyAfterCall = () => tidyIn(AFTER_CALL_MS);
