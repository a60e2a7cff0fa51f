import { describe, expect, it } from "vitest";
import type { Member } from "../protocol/Member";
import { type Arrivals, gravest, keyState, slotKeys } from "./keystate";

const arrivals = (change: Partial<Arrivals>): Arrivals => ({
  epoch: 7,
  idleMs: 20,
  waiting: null,
  failing: null,
  ...change,
});

describe("the keys of what arrives are", () => {
  it("current when frames open with the newest, and behind when with an older one", () => {
    expect(keyState(arrivals({}), 7)).toBe("current");
    expect(keyState(arrivals({ epoch: 6 }), 7)).toBe("behind");
  });

  it("current though the epoch's place in a key id has come round again", () => {
    expect(keyState(arrivals({ epoch: 263 }), 263)).toBe("current");
    expect(keyState(arrivals({ epoch: 7 }), 263)).toBe("behind");
  });

  it("waited for once frames have waited for longer than anybody would not notice", () => {
    const state = (firstMs: number) => keyState(arrivals({ waiting: { firstMs, lastMs: 10 } }), 8);
    expect(state(499)).toBe("behind");
    expect(state(500)).toBe("waiting");
  });

  it("unreadable once frames have failed for two seconds, whatever else waits", () => {
    const state = (firstMs: number) =>
      keyState(
        arrivals({ failing: { firstMs, lastMs: 10 }, waiting: { firstMs: 900, lastMs: 10 } }),
        7,
      );
    expect(state(1_999)).toBe("waiting");
    expect(state(2_000)).toBe("unreadable");
  });

  it("of no matter when nothing arrives, or nothing any more", () => {
    expect(keyState(arrivals({ epoch: null, idleMs: null }), 7)).toBe("silent");
    expect(keyState(arrivals({ idleMs: 4_000 }), 7)).toBe("silent");
    const over = { firstMs: 9_000, lastMs: 4_000 };
    expect(keyState(arrivals({ idleMs: 9_000, failing: over, waiting: over }), 7)).toBe("silent");
  });
});

describe("the state of a slot", () => {
  const member = (leaf: number, participant: string): Member => ({
    leaf,
    participant,
    name: participant,
    is_self: false,
    is_host: false,
    device: "",
    pair_code: null,
  });
  const roster = [member(1, "ada"), member(2, "bob")];
  const filled = new Map(
    ["camera-0", "camera-1"].map((slot) => [
      slot,
      { mid: "4", participant: "bob", source: "camera" as const, paused: false },
    ]),
  );
  const slot = (key: string, holder: Member | null, change: Partial<Arrivals>) => ({
    slot: key,
    accepts: "camera" as const,
    holder,
    ...arrivals(change),
  });
  const ada = member(1, "ada");
  const failing = { firstMs: 3_000, lastMs: 10 };

  it("is that of whoever's key opens the frames, whatever the server says", () => {
    const states = slotKeys([slot("camera-0", ada, {})], 7, filled, roster);
    expect(states).toEqual([{ slot: "camera-0", leaf: 1, accepts: "camera", state: "current" }]);
  });

  it("is, where nothing opens, that of whom the server names", () => {
    const states = slotKeys([slot("camera-0", ada, { failing })], 7, filled, roster);
    expect(states).toEqual([{ slot: "camera-0", leaf: 2, accepts: "camera", state: "unreadable" }]);
  });

  it("is not that of who had the leaf before", () => {
    const [state] = slotKeys([slot("camera-0", member(1, "mallory"), {})], 7, filled, roster);
    expect(state?.leaf).toBe(2);
  });

  it("is nobody's when the slot is empty, or its sender unknown", () => {
    expect(slotKeys([slot("camera-7", ada, {})], 7, filled, roster)).toEqual([]);
    expect(slotKeys([slot("camera-0", null, { failing })], 7, filled, [])).toEqual([]);
  });
});

it("several slots of a member have the state that most needs to be known", () => {
  expect(gravest([])).toBe("silent");
  expect(gravest(["silent", "current"])).toBe("current");
  expect(gravest(["current", "behind", "silent"])).toBe("behind");
  expect(gravest(["behind", "waiting", "current"])).toBe("waiting");
  expect(gravest(["waiting", "unreadable"])).toBe("unreadable");
});
