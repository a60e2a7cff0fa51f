import { describe, expect, it } from "vitest";
import { encodingsFor, scalable, simulcast } from "./layers";

const sizes = (height: number) =>
  simulcast(height)
    .filter(({ active }) => active)
    .map(({ scaleResolutionDownBy }) => height / scaleResolutionDownBy);

describe("the streams of a camera", () => {
  it.each([
    [1080, [270, 540, 1080]],
    [720, [180, 360, 720]],
    [360, [180, 360]],
    [240, [240]],
    [180, [180]],
  ])("at %i lines are %j", (height, expected) => {
    expect(sizes(height)).toEqual(expected);
  });

  it("are always three, and cost more the larger they are", () => {
    for (const height of [180, 360, 720]) {
      const encodings = simulcast(height);
      expect(encodings).toHaveLength(3);
      const rates = encodings.filter(({ active }) => active).map(({ maxBitrate }) => maxBitrate);
      expect(rates).toEqual([...rates].sort((a, b) => a - b));
      expect(Math.min(...rates)).toBe(150_000);
    }
  });
});

describe("the layers of a single stream", () => {
  it.each([
    [720, "L3T3_KEY"],
    [360, "L2T3_KEY"],
    [180, "L1T3"],
  ])("at %i lines are %s, at full size", (height, mode) => {
    const encodings = scalable(height, true);
    expect(encodings).toHaveLength(1);
    expect(encodings[0]).toMatchObject({ scaleResolutionDownBy: 1, scalabilityMode: mode });
  });
});

it("a codec gets the layers that its receivers can tell apart", () => {
  const modes = (codec: "vp8" | "vp9" | "av1", described: boolean) =>
    encodingsFor(codec, 720, described)
      .filter(({ active }) => active)
      .map(({ scalabilityMode }) => scalabilityMode);
  expect(modes("vp8", true)).toEqual(["L1T3", "L1T3", "L1T3"]);
  expect(modes("vp9", false)).toEqual(["L3T3_KEY"]);
  expect(modes("av1", false)).toEqual(["L1T3"]);
  expect(modes("av1", true)).toEqual(["L3T3_KEY"]);
});
