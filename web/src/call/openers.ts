/** How many workers open frames, which slots each of them has, and what they count together. */
import { MOST_OPENERS } from "../crypto/ledger";
import type { FramesReport, OpeningReport, SealingReport } from "../crypto/messages";
import type { Source } from "../protocol/Source";

/** More than these have nothing to do even when the screen is full of cameras. */
const ENOUGH = Math.min(3, MOST_OPENERS);

/**
 * One core is for the page, one for the worker that seals. Without memory that workers can share
 * they have no ledger in common, so that there can be one only.
 */
export function openersFor(cores: number, sharesMemory: boolean): number {
  return sharesMemory ? Math.min(Math.max(cores - 2, 1), ENOUGH) : 1;
}

/** Sounds stay in one worker: voices go from slot to slot as people take turns. */
export function openerOf(accepts: Source, index: number, openers: number): number {
  return accepts === "microphone" ? 0 : (index + 1) % openers;
}

/** None when one of the workers did not answer: half of the figures would mislead. */
export function mergeReports(
  sealing: SealingReport,
  opening: readonly (OpeningReport | undefined)[],
): FramesReport | undefined {
  const lastEpochs = new Map<number, number>();
  let newest: number | null = null;
  const incoming: OpeningReport["incoming"][number][] = [];
  for (const report of opening) {
    if (!report) return undefined;
    // Members go from epoch to epoch forward only.
    for (const [leaf, epoch] of report.lastEpochs) {
      lastEpochs.set(leaf, Math.max(epoch, lastEpochs.get(leaf) ?? 0));
    }
    if (report.newest !== null) newest = Math.max(report.newest, newest ?? 0);
    incoming.push(...report.incoming);
  }
  return { ...sealing, newest, lastEpochs, incoming };
}
