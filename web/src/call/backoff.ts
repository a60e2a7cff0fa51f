/** How long to wait before the next attempt to come back into a call. */

const FIRST_MS = 400;
const LONGEST_MS = 15_000;

/**
 * Doubles with every attempt up to a bound, and is spread over its upper half, so that
 * everybody in a call whose server restarted does not come back in the same instant.
 *
 * @param attempt counts from 0
 * @param random in [0, 1)
 */
export function backoff(attempt: number, random: number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(ceiling * (0.5 + random / 2));
}
