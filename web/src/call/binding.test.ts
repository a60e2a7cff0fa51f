import { describe, expect, it } from "vitest";
import type { Member } from "../protocol/Member";
import type { Publication } from "../protocol/Publication";
import {
  type BoundSlot,
  pausedPictures,
  pictures,
  publicationsAfter,
  refilled,
  speaking,
} from "./binding";

const member = (leaf: number, name: string, is_self = false): Member => ({
  leaf,
  participant: `000000000000000${leaf}`,
  name,
  is_self,
  is_host: false,
  device: name,
  pair_code: null,
});
const roster = [member(0, "Me", true), member(1, "Ada"), member(2, "Grace")];
/** Who is at a leaf in the roster above, or would be. */
const at = (leaf: number) => roster[leaf] ?? member(leaf, "Somebody");
const camera = (index: number, leaf: number): BoundSlot => ({
  key: `camera-${index}`,
  accepts: "camera",
  holder: at(leaf),
});

describe("a picture", () => {
  it("is shown under the member whose key opened it", () => {
    const shown = pictures([camera(0, 2), camera(1, 1)], new Set(["camera-0", "camera-1"]), roster);
    expect(shown).toEqual([
      { leaf: 2, source: "camera", slot: "camera-0" },
      { leaf: 1, source: "camera", slot: "camera-1" },
    ]);
  });

  it("is not shown when its slot is empty, or its sender is not in the group", () => {
    expect(pictures([camera(0, 1)], new Set(), roster)).toEqual([]);
    expect(pictures([camera(0, 7)], new Set(["camera-0"]), roster)).toEqual([]);
  });

  it("is never our own, come back to us", () => {
    expect(pictures([camera(0, 0)], new Set(["camera-0"]), roster)).toEqual([]);
  });

  it("is not shown under the name of who has the sender's leaf by now", () => {
    const slots = new Set(["camera-0"]);
    // Another stay, and the server's number for the old one on another device.
    const next = { ...member(1, "Mallory"), participant: "00000000000000ff" };
    const posing = { ...at(1), name: "Mallory", device: "Mallory" };
    for (const successor of [next, posing]) {
      const later = [at(0), successor, at(2)];
      expect(pictures([camera(0, 1)], slots, later)).toEqual([]);
      const own: BoundSlot = { ...camera(0, 1), holder: successor };
      expect(pictures([own], slots, later)).toHaveLength(1);
      // The worker may know of the successor before the roster does.
      expect(pictures([own], slots, roster)).toEqual([]);
    }
  });

  it("has one place, the newest", () => {
    const shown = pictures([camera(0, 1), camera(3, 1)], new Set(["camera-0", "camera-3"]), roster);
    expect(shown).toEqual([{ leaf: 1, source: "camera", slot: "camera-3" }]);
  });

  it("is never made of sound", () => {
    const sound: BoundSlot = { key: "microphone-0", accepts: "microphone", holder: at(1) };
    expect(pictures([sound], new Set(["microphone-0"]), roster)).toEqual([]);
  });
});

it("a slot is refilled when the server puts someone or something else there", () => {
  const filling = (mid: string, participant: string) => ({
    mid,
    participant,
    source: "camera" as const,
    paused: false,
  });
  const before = [filling("4", "a"), filling("5", "b")];
  const after = [filling("4", "a"), filling("5", "c"), filling("6", "d")];
  expect(refilled(before, after).map(({ mid }) => mid)).toEqual(["5", "6"]);
  expect(refilled(after, after)).toEqual([]);
});

it("only those speak whom the server names and whose sound opens", () => {
  const named = ["0000000000000001", "0000000000000002", "000000000000000f"];
  expect(speaking(named, [at(1), at(9)], roster)).toEqual(new Set([1]));
  expect(speaking([], [at(1), at(2)], roster)).toEqual(new Set());
  // What is heard was sealed by who had the leaf before.
  const former = { ...at(2), device: "Countess" };
  expect(speaking(named, [former], roster)).toEqual(new Set());
});

it("what is paused is known before a frame of it ever opened", () => {
  const filling = (participant: string, paused: boolean) => ({
    mid: "4",
    participant,
    source: "screen" as const,
    paused,
  });
  const filled = new Map([
    ["screen-0", filling("0000000000000002", true)],
    ["screen-1", filling("0000000000000001", false)],
    ["screen-2", filling("000000000000000f", true)],
  ]);
  expect(pausedPictures(filled, roster)).toEqual([{ leaf: 2, source: "screen", slot: "screen-0" }]);
});

it("publications follow what changed: new ones, other ones, none any more", () => {
  const of = (participant: string, ...sources: Publication["sources"]) => ({
    participant,
    sources,
  });
  const before = [of("a", "camera"), of("b", "microphone"), of("c", "camera")];
  const after = publicationsAfter(before, [of("b"), of("c", "screen"), of("d", "camera")]);
  expect(after).toEqual([of("a", "camera"), of("c", "screen"), of("d", "camera")]);
});
