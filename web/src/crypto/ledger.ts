/**
 * Which worker opens a stream, and how far it has got: one table for each epoch, shared by all
 * workers that open frames.
 *
 * Each of them has replay windows of its own, which know nothing of what others have opened. So a
 * stream belongs to one worker at a time:
 *
 * - The worker that has it lets its own window decide, but for frames of before it took over.
 * - Another one takes it over by a frame that is further than every frame that opened before.
 *
 * So no frame opens twice, whichever slots the server puts it into, and a stream goes from worker
 * to worker forward only. Frames are entered here after they have proved authentic.
 */

const CONTEXTS = 9;
const LEAVES = 1_024;
/** At most so many workers can share a ledger. */
export const MOST_OPENERS = 4;
const WORKER_BITS = 2n;
/** Further than any stream gets: at a thousand frames a second this takes 36 million years. */
const END = 1n << 60n;

/** A table in which nobody has opened anything. */
export function blankLedger(shared: boolean): ArrayBufferLike {
  const bytes = CONTEXTS * LEAVES * BigInt64Array.BYTES_PER_ELEMENT;
  return shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
}

export class Ledger {
  readonly #worker: bigint;
  /** By stream: the next counter after the furthest, and below it whose stream it is; 0: nobody's. */
  readonly #streams: BigInt64Array;
  /** By stream: what is below this was opened, or could have been, before we took over. */
  readonly #since = new Map<number, bigint>();

  /** @param worker which of those that share the table this is */
  constructor(table: ArrayBufferLike, worker: number) {
    this.#streams = new BigInt64Array(table);
    this.#worker = BigInt(worker);
  }

  /** Enters an authentic frame. False: it must not be shown. */
  enter(context: number, leaf: number, counter: bigint): boolean {
    if (counter >= END) return false;
    const at = context * LEAVES + leaf;
    for (;;) {
      const seen = Atomics.load(this.#streams, at);
      const next = seen >> WORKER_BITS;
      const ours = next > 0n && (seen & ((1n << WORKER_BITS) - 1n)) === this.#worker;
      // Whoever takes over from here on begins behind `next`, so it is still ours to decide.
      if (counter < next) return ours && counter >= (this.#since.get(at) ?? 0n);
      const entry = ((counter + 1n) << WORKER_BITS) | this.#worker;
      if (Atomics.compareExchange(this.#streams, at, seen, entry) !== seen) continue;
      if (!ours) this.#since.set(at, next);
      return true;
    }
  }
}
