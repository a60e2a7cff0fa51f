/**
 * Stream contexts: the part of a frame's key id that says which of a member's streams it
 * belongs to. Each context has a counter of its own, so each simulcast layer needs one.
 */
import type { Source } from "../protocol/Source";

const LAYERS = 3;
const FIRST: Readonly<Record<Source, number>> = {
  microphone: 0,
  camera: 1,
  screen: 4,
  screen_sound: 7,
};

/** Which source a context belongs to; none for those that carry no media. */
export function sourceOfContext(context: number): Source | undefined {
  if (context === 0) return "microphone";
  if (context >= 1 && context <= 3) return "camera";
  if (context >= 4 && context <= 6) return "screen";
  if (context === 7) return "screen_sound";
  return undefined;
}

/** True when a frame of `source` has its place in a slot that accepts `accepts`. */
export function fits(source: Source, accepts: Source): boolean {
  if (accepts === "microphone") return source === "microphone" || source === "screen_sound";
  return source === accepts;
}

/**
 * Gives the layers of one outgoing track their contexts. Encoded frames carry no RID, so
 * layers are told apart by SSRC, in the order in which they first appear. A further SSRC
 * begins again at the first context: counters belong to contexts, so none is used twice.
 */
export class ContextsBySsrc {
  readonly #source: Source;
  readonly #contexts = new Map<number, number>();

  constructor(source: Source) {
    this.#source = source;
  }

  of(ssrc: number): number {
    if (this.#source === "microphone" || this.#source === "screen_sound") {
      return FIRST[this.#source];
    }
    let context = this.#contexts.get(ssrc);
    if (context === undefined) {
      context = FIRST[this.#source] + (this.#contexts.size % LAYERS);
      this.#contexts.set(ssrc, context);
    }
    return context;
  }
}
