/** Doing many small things, several at a time, until all are done. */
import { backoff } from "../call/backoff";
import { type Awaited, Passing, Stuck } from "./trouble";

/** Browsers hold six connections to a server, and the page needs some. */
export const LANES = 4;
/** So often a server may fail at one thing before it is not asked for it any more. */
const FAILS = 4;

export interface Conditions {
  readonly signal: AbortSignal;
  /** Called when something has to be tried again, with what is gone, and when it then goes on. */
  waits(awaited: Awaited | undefined): void;
  /** For tests. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Tries until it is done, is told to stop, or fails for good. */
export async function insist<T>(conditions: Conditions, attempt: () => Promise<T>): Promise<T> {
  const { signal, waits, pause = sleep } = conditions;
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted();
    try {
      const result = await attempt();
      if (failures > 0) waits(undefined);
      return result;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Passing)) throw error;
      if (error.why === "failing" && failures + 1 >= FAILS) throw new Stuck("broken");
      if (error.awaited) waits(error.awaited);
      await pause(backoff(failures, Math.random()), signal);
    }
  }
}

/** Makes so many things ready beforehand, while others are being worked off. */
export async function* ahead<A, B>(
  items: Iterable<A>,
  count: number,
  prepare: (item: A) => Promise<B>,
): AsyncGenerator<B> {
  const begun: Promise<B>[] = [];
  for (const item of items) {
    const next = prepare(item);
    // It may fail before anybody asks for it, or when nobody does any more.
    next.catch(() => undefined);
    begun.push(next);
    const [first] = begun;
    if (begun.length <= count || !first) continue;
    begun.shift();
    yield first;
  }
  yield* begun;
}

/** Works off all of them in so many lanes. What fails in one for good ends all. */
export async function inLanes<T>(
  items: Iterable<T> | AsyncIterable<T>,
  lanes: number,
  conditions: Conditions,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const rest =
    Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const failed = new AbortController();
  const signal = AbortSignal.any([conditions.signal, failed.signal]);
  const own = { ...conditions, signal };
  const lane = async () => {
    for (let next = await rest.next(); !next.done; next = await rest.next()) {
      const { value } = next;
      await insist(own, () => work(value, signal));
    }
  };
  const all = Array.from({ length: lanes }, () =>
    lane().catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
  );
  const ends = await Promise.allSettled(all);
  conditions.signal.throwIfAborted();
  // The first that failed says why; the others were only stopped.
  if (failed.signal.aborted) throw failed.signal.reason;
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
