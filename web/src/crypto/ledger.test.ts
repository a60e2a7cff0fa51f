import { describe, expect, it } from "vitest";
import { blankLedger, Ledger } from "./ledger";

describe("workers that share a ledger", () => {
  const CAMERA = 1;
  const share = (workers: number): Ledger[] => {
    const table = blankLedger(true);
    return Array.from({ length: workers }, (_, worker) => new Ledger(table, worker));
  };
  const pair = () => share(2) as [Ledger, Ledger];

  it("do not open each other's frames", () => {
    const [one, other] = pair();
    expect(one.enter(CAMERA, 5, 0n)).toBe(true);
    expect(one.enter(CAMERA, 5, 7n)).toBe(true);
    for (const counter of [0n, 3n, 7n]) expect(other.enter(CAMERA, 5, counter)).toBe(false);
  });

  it("leave late frames to the one whose stream it is", () => {
    const [one] = pair();
    one.enter(CAMERA, 5, 9n);
    // Its own window knows whether it had this one.
    expect(one.enter(CAMERA, 5, 8n)).toBe(true);
  });

  it("hand a stream on, forward only", () => {
    const [one, other] = pair();
    one.enter(CAMERA, 5, 10n);
    expect(other.enter(CAMERA, 5, 20n)).toBe(true);
    expect(one.enter(CAMERA, 5, 15n)).toBe(false);
    // Of what the first one left out nothing was opened, of what it had before perhaps.
    expect(other.enter(CAMERA, 5, 11n)).toBe(true);
    expect(other.enter(CAMERA, 5, 10n)).toBe(false);
    expect(other.enter(CAMERA, 5, 9n)).toBe(false);
    // And back: what the second one had stays closed to the first.
    expect(one.enter(CAMERA, 5, 21n)).toBe(true);
    expect(one.enter(CAMERA, 5, 20n)).toBe(false);
    expect(one.enter(CAMERA, 5, 8n)).toBe(false);
    expect(other.enter(CAMERA, 5, 21n)).toBe(false);
  });

  it("keep the streams of everyone apart", () => {
    const [one, other] = pair();
    one.enter(CAMERA, 5, 10n);
    expect(other.enter(CAMERA + 1, 5, 0n)).toBe(true);
    expect(other.enter(CAMERA, 6, 0n)).toBe(true);
    expect(other.enter(8, 1_023, 0n)).toBe(true);
    expect(one.enter(8, 1_023, 0n)).toBe(false);
  });

  it("take no counter that would not fit", () => {
    const [one] = pair();
    expect(one.enter(CAMERA, 5, 1n << 60n)).toBe(false);
    expect(one.enter(CAMERA, 5, (1n << 64n) - 1n)).toBe(false);
    expect(one.enter(CAMERA, 5, 0n)).toBe(true);
  });

  it("open no frame twice, in whatever order and slots a server replays", () => {
    // A generator of its own, so that a failure can be seen again.
    let state = 1;
    const random = (below: number): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state % below;
    };
    const workers = share(4);
    const windows = workers.map(() => new Set<bigint>());
    const opened = new Map<bigint, number>();
    for (let step = 0; step < 20_000; step += 1) {
      const worker = random(4);
      const counter = BigInt(Math.max(0, Math.floor(step / 50) + random(40) - 30));
      // As the worker's own window does.
      if (windows[worker]?.has(counter)) continue;
      windows[worker]?.add(counter);
      if (!workers[worker]?.enter(CAMERA, 5, counter)) continue;
      opened.set(counter, (opened.get(counter) ?? 0) + 1);
    }
    expect(opened.size).toBeGreaterThan(300);
    expect([...opened.values()].every((times) => times === 1)).toBe(true);
  });
});
