import { describe, expect, it } from "vitest";
import type { Member } from "../protocol/Member";
import type { Picture } from "./binding";
import { setStage, UNSEEN, wishes } from "./stage";

const people = (count: number): Member[] =>
  Array.from({ length: count }, (_, leaf) => ({
    leaf,
    participant: leaf.toString(16).padStart(16, "0"),
    name: `Person ${leaf}`,
    is_self: leaf === 0,
    is_host: false,
    device: `device ${leaf}`,
    pair_code: null,
  }));
const nobodySpoke = new Map<number, number>();
const page = (at: number) => ({ size: 9, page: at });
const keys = (tiles: readonly { key: string }[]) => tiles.map(({ key }) => key);
const screenOf = (leaf: number): Picture => ({ leaf, source: "screen", slot: "screen-0" });

describe("the stage", () => {
  it("has a tile for everyone, with a picture only where one opened", () => {
    const shown: Picture[] = [{ leaf: 2, source: "camera", slot: "camera-4" }];
    const stage = setStage(people(3), shown, nobodySpoke, undefined, false, page(0));
    expect(stage.spotlight).toEqual([]);
    expect(keys(stage.rest)).toEqual(["camera-1", "camera-2", "camera-0"]);
    expect(stage.rest.map(({ slot }) => slot)).toEqual([undefined, "camera-4", undefined]);
    expect(stage.rest.map(({ self }) => self)).toEqual([false, false, true]);
  });

  it("puts a shared screen in the spotlight", () => {
    const stage = setStage(people(3), [screenOf(1)], nobodySpoke, undefined, false, page(0));
    expect(keys(stage.spotlight)).toEqual(["screen-1"]);
    expect(keys(stage.rest)).toEqual(["camera-1", "camera-2", "camera-0"]);
  });

  it("puts a pinned tile there instead", () => {
    const stage = setStage(people(3), [screenOf(1)], nobodySpoke, "camera-2", false, page(0));
    expect(keys(stage.spotlight)).toEqual(["camera-2"]);
    expect(keys(stage.rest)).toEqual(["screen-1", "camera-1", "camera-0"]);
  });

  it("forgets a pin whose tile is gone", () => {
    expect(setStage(people(2), [], nobodySpoke, "camera-9", false, page(0)).spotlight).toEqual([]);
  });

  it("shows our own shared screen as one of the screens", () => {
    const stage = setStage(people(2), [], nobodySpoke, undefined, true, page(0));
    expect(stage.spotlight).toMatchObject([{ key: "screen-0", self: true }]);
  });

  it("gives the first page to those who spoke last, in the group's order", () => {
    const spoke = new Map([
      [11, 5],
      [12, 9],
    ]);
    const stage = (at: number) => setStage(people(13), [], spoke, undefined, false, page(at));
    expect(stage(0).rest.map(({ leaf }) => leaf)).toEqual([1, 2, 3, 4, 5, 6, 11, 12, 0]);
    expect(stage(1).rest.map(({ leaf }) => leaf)).toEqual([7, 8, 9, 10, 0]);
    expect(stage(1).page).toEqual({ at: 1, of: 2 });
  });

  it("keeps a pinned tile large on every page, and in none of them", () => {
    const stage = (at: number) =>
      setStage(people(13), [], nobodySpoke, "camera-12", false, page(at));
    for (const at of [0, 1]) {
      expect(keys(stage(at).spotlight)).toEqual(["camera-12"]);
      expect(keys(stage(at).rest)).not.toContain("camera-12");
    }
    const cameras = [...stage(0).spotlight, ...stage(0).rest].filter(({ self }) => !self);
    expect(cameras.length).toBeLessThanOrEqual(9);
  });
});

describe("what is asked of the server", () => {
  it("is each tile at its size, screens first, ourselves never", () => {
    const roster = people(3);
    const stage = setStage(roster, [screenOf(1)], nobodySpoke, undefined, false, page(0));
    const sizes = new Map([
      ["screen-1", { width: 1600.4, height: 900 }],
      ["camera-1", { width: 320, height: 180 }],
    ]);
    const asked = wishes(stage, roster, new Set(["0000000000000001"]), sizes);
    expect(asked).toEqual([
      {
        participant: "0000000000000001",
        source: "screen",
        size: { width: 1600, height: 900 },
        pinned: true,
      },
      {
        participant: "0000000000000001",
        source: "camera",
        size: { width: 320, height: 180 },
        pinned: false,
      },
      {
        participant: "0000000000000002",
        source: "camera",
        size: { width: 640, height: 360 },
        pinned: false,
      },
    ]);
  });

  it("holds no size that the wire cannot carry", () => {
    const roster = people(2);
    const stage = setStage(roster, [], nobodySpoke, undefined, false, page(0));
    const sizes = new Map([["camera-1", { width: 1e6, height: 0 }]]);
    expect(wishes(stage, roster, new Set(), sizes)[0]?.size).toEqual({ width: 8192, height: 1 });
  });

  it("leaves out cameras on other pages and tiles out of sight, but no screen", () => {
    const roster = people(20);
    const stage = setStage(roster, [], nobodySpoke, undefined, false, page(1));
    const sizes = new Map([
      ["camera-9", UNSEEN],
      ["screen-9", UNSEEN],
    ]);
    const asked = wishes(stage, roster, new Set(["0000000000000009"]), sizes);
    expect(
      asked.map(({ participant, source }) => `${source} ${Number(`0x${participant}`)}`),
    ).toEqual(["screen 9", ...[10, 11, 12, 13, 14, 15, 16].map((leaf) => `camera ${leaf}`)]);
  });
});
