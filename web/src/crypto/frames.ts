/**
 * What happens to one encoded frame on its way out or in. A frame that cannot be sealed or
 * opened goes nowhere: there is no path on which it passes unchanged.
 */
import type { Source } from "../protocol/Source";
import type { Codec, PayloadTypes } from "./codec";
import { codecOf } from "./codec";
import { ContextsBySsrc, fits, sourceOfContext } from "./context";
import { type Holder, isSamePlace } from "./holders";
import type { Arrivals, Spell } from "./keystate";

/** The part of RTCEncodedVideoFrame and RTCEncodedAudioFrame that we use. */
export interface EncodedFrame {
  data: ArrayBuffer;
  readonly type?: "key" | "delta" | "empty" | undefined;
  getMetadata(): { mimeType?: string; payloadType?: number; synchronizationSource?: number };
}

export interface Sealer {
  /** Throws a {@link FrameError} when there is no key to seal with. */
  seal(context: number, codec: Codec, frame: Uint8Array): Uint8Array;
}

export interface Opened {
  readonly leaf: number;
  readonly epoch: number;
  readonly context: number;
  readonly counter: bigint;
  readonly frame: Uint8Array;
}

export interface Opener {
  /** Throws a {@link FrameError}. */
  open(codec: Codec, frame: Uint8Array): Opened;
}

/** A frame with the member whose leaf it came from, and still is. */
export interface Attributed extends Opened {
  readonly holder: Holder;
}

/** Opens what comes from those who are here, and knows who they are. */
export interface Attributor {
  /** Throws a {@link FrameError}: `former_holder` for the frames of who held a leaf before. */
  open(codec: Codec, frame: Uint8Array): Attributed;
}

/** A frame that could not be sealed or opened, with the reason as a short code. */
export class FrameError extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}

/** Counts by reason. */
export type Tally = Record<string, number>;

const count = (tally: Tally, reason: string): void => {
  tally[reason] = (tally[reason] ?? 0) + 1;
};

const codeOf = (error: unknown): string => (error instanceof FrameError ? error.code : "broken");

/** Frames of one track that we send. */
export class OutgoingTrack {
  readonly #contexts: ContextsBySsrc;
  sealed = 0;
  /** Frames held back, by reason. */
  readonly held: Tally = {};

  constructor(readonly source: Source) {
    this.#contexts = new ContextsBySsrc(source);
  }

  /** Seals the frame in place. False: it must not be sent. */
  seal(frame: EncodedFrame, payloadTypes: PayloadTypes, sealer: Sealer | undefined): boolean {
    if (frame.data.byteLength === 0) return this.#hold("empty");
    if (!sealer) return this.#hold("no_key");
    const metadata = frame.getMetadata();
    const codec = codecOf(metadata, payloadTypes);
    if (!codec) return this.#hold("unknown_codec");
    const context = this.#contexts.of(metadata.synchronizationSource ?? 0);
    try {
      frame.data = bufferOf(sealer.seal(context, codec, new Uint8Array(frame.data)));
    } catch (error) {
      return this.#hold(codeOf(error));
    }
    this.sealed += 1;
    return true;
  }

  #hold(reason: string): false {
    count(this.held, reason);
    return false;
  }
}

/** Frames that none of the call's keys has sealed. */
const UNREADABLE = new Set(["forged", "malformed", "unknown_codec", "broken"]);
/** After such a pause, what comes has nothing to do with what came before. */
const SPELL_PAUSE_MS = 2_000;

/** Times at which frames of one kind came after each other. */
class Spelling {
  #first = 0;
  #last = Number.NEGATIVE_INFINITY;

  mark(now: number): void {
    if (now - this.#last > SPELL_PAUSE_MS) this.#first = now;
    this.#last = now;
  }

  end(): void {
    this.#last = Number.NEGATIVE_INFINITY;
  }

  at(now: number): Spell | null {
    if (this.#last === Number.NEGATIVE_INFINITY) return null;
    return { firstMs: now - this.#first, lastMs: now - this.#last };
  }
}

/**
 * What a slot lacks nothing without: probe padding and retransmissions that the browser hands us as
 * frames, what is not for this slot, and what somebody has sealed whose leaf is another's by now.
 */
const NOT_MISSED = new Set(["duplicate", "empty", "misplaced", "former_holder"]);
/**
 * How long a frame whose key has not come yet waits for it. Media and keys go different ways,
 * and after a removal others seal with the next key at once.
 */
const PATIENCE_MS = 1_000;
/** As many frames wait in one slot: more than a second of video. */
const MOST_EARLY = 64;
/** The soonest that one slot asks for a key frame again. */
const KEY_FRAME_INTERVAL_MS = 500;

/** What to do with an incoming frame. */
export interface Verdict {
  readonly deliver: boolean;
  /** The decoder cannot go on without a key frame: ask the sender for one. */
  readonly askForKeyFrame: boolean;
  /** Set when this frame shows that someone else is in the slot than before. */
  readonly newHolder?: Holder;
}

/** A frame whose key has not come yet, and since when it waits. */
interface EarlyFrame {
  readonly frame: EncodedFrame;
  readonly since: number;
}

/** Frames that arrive in one of our receiving slots. */
export class IncomingSlot {
  opened = 0;
  /** Of the opened ones those that had to wait for their key. */
  late = 0;
  /** Frames dropped, by reason; `duplicate` and `empty` are no failures. */
  readonly dropped: Tally = {};
  #early: EarlyFrame[] = [];
  #holder: Holder | undefined;
  /** Whose frames the decoder builds on. Not forgotten with who is in the slot. */
  #pictured: Holder | undefined;
  #epoch: number | undefined;
  #lastOpened = Number.NEGATIVE_INFINITY;
  readonly #waiting = new Spelling();
  readonly #failing = new Spelling();
  #missing = false;
  #lastAsked = Number.NEGATIVE_INFINITY;

  constructor(readonly accepts: Source) {}

  /** Whose frames come in, as shown by the key that opened the last one. */
  get holder(): Holder | undefined {
    return this.#holder;
  }

  /** Forgets who was in the slot, so that the next frame tells it anew. */
  unbind(): void {
    this.#holder = undefined;
    this.#epoch = undefined;
    this.#waiting.end();
    this.#failing.end();
  }

  /** What has arrived until now, on the clock of the caller. */
  arrivals(now: number): Arrivals {
    return {
      epoch: this.#epoch ?? null,
      idleMs: this.opened === 0 ? null : now - this.#lastOpened,
      waiting: this.#waiting.at(now),
      failing: this.#failing.at(now),
    };
  }

  /** Opens the frame in place. One that comes before its key is kept: see {@link retry}. */
  open(frame: EncodedFrame, payloadTypes: PayloadTypes, opener: Attributor, now: number): Verdict {
    return this.#open({ frame, since: now }, payloadTypes, opener, now);
  }

  /** A key has come: opens the frames that waited for it, and gives the verdict on each. */
  retry(
    payloadTypes: PayloadTypes,
    opener: Attributor,
    now: number,
    then: (frame: EncodedFrame, verdict: Verdict) => void,
  ): void {
    const early = this.#early;
    this.#early = [];
    for (const waiting of early) {
      const verdict = this.#open(waiting, payloadTypes, opener, now);
      if (verdict.deliver) this.late += 1;
      then(waiting.frame, verdict);
    }
  }

  #open(arrival: EarlyFrame, payloadTypes: PayloadTypes, opener: Attributor, now: number): Verdict {
    const { frame } = arrival;
    if (frame.data.byteLength === 0) return this.#drop("empty", now);
    const codec = codecOf(frame.getMetadata(), payloadTypes);
    if (!codec) return this.#drop("unknown_codec", now);
    let opened: Attributed;
    try {
      opened = opener.open(codec, new Uint8Array(frame.data));
    } catch (error) {
      const code = codeOf(error);
      return code === "unknown_epoch" ? this.#wait(arrival, now) : this.#drop(code, now);
    }
    // Nobody goes back to an older key: what still waits is of before our time.
    this.#giveUp(this.#early.length);
    const source = sourceOfContext(opened.context);
    if (!source || !fits(source, this.accepts)) return this.#drop("misplaced", now);
    // Nobody's changes are drawn into somebody else's picture.
    const others = this.#pictured !== undefined && !isSamePlace(opened.holder, this.#pictured);
    if (others && frame.type === "delta") return this.#drop("no_key_frame", now);
    this.#pictured = opened.holder;

    frame.data = bufferOf(opened.frame);
    this.opened += 1;
    this.#lastOpened = now;
    this.#epoch = opened.epoch;
    this.#waiting.end();
    this.#failing.end();
    if (frame.type === "key") this.#missing = false;
    const askForKeyFrame = this.#missing && this.#mayAsk(now);
    const { holder } = opened;
    const isSame = this.#holder !== undefined && isSamePlace(holder, this.#holder);
    this.#holder = holder;
    if (isSame) return { deliver: true, askForKeyFrame };
    return { deliver: true, askForKeyFrame, newHolder: holder };
  }

  #wait(arrival: EarlyFrame, now: number): Verdict {
    this.#early.push(arrival);
    if (arrival.since === now) this.#waiting.mark(now);
    const fresh = this.#early.findIndex(({ since }) => now - since < PATIENCE_MS);
    const stale = fresh < 0 ? this.#early.length : fresh;
    this.#giveUp(Math.max(stale, this.#early.length - MOST_EARLY));
    return { deliver: false, askForKeyFrame: false };
  }

  /** Drops the frames that have waited longest. */
  #giveUp(frames: number): void {
    for (const _ of this.#early.splice(0, frames)) {
      count(this.dropped, "unknown_epoch");
      this.#missing = this.accepts !== "microphone";
    }
  }

  #drop(reason: string, now: number): Verdict {
    count(this.dropped, reason);
    if (UNREADABLE.has(reason)) this.#failing.mark(now);
    if (NOT_MISSED.has(reason)) return { deliver: false, askForKeyFrame: false };
    this.#missing = this.accepts !== "microphone";
    return { deliver: false, askForKeyFrame: this.#missing && this.#mayAsk(now) };
  }

  #mayAsk(now: number): boolean {
    if (now - this.#lastAsked < KEY_FRAME_INTERVAL_MS) return false;
    this.#lastAsked = now;
    return true;
  }
}

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = bytes;
  if (buffer instanceof ArrayBuffer && byteOffset === 0 && byteLength === buffer.byteLength) {
    return buffer;
  }
  return new Uint8Array(bytes).buffer;
}
