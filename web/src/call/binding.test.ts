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
const camera = (index: number, leaf: number): BoundSlot => ({
  key: `camera-${index}`,
  accepts: "camera",
  leaf,
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

  it("has one place, the newest", () => {
    const shown = pictures([camera(0, 1), camera(3, 1)], new Set(["camera-0", "camera-3"]), roster);
    expect(shown).toEqual([{ leaf: 1, source: "camera", slot: "camera-3" }]);
  });

  it("is never made of sound", () => {
    const sound: BoundSlot = { key: "microphone-0", accepts: "microphone", leaf: 1 };
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
  expect(speaking(named, new Set([1, 9]), roster)).toEqual(new Set([1]));
  expect(speaking([], new Set([1, 2]), roster)).toEqual(new Set());
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
