import { describe, expect, it } from "vitest";
import { layersFor } from "./layers";

const sizes = (height: number) =>
  layersFor(height)
    .filter(({ active }) => active)
    .map(({ scaleResolutionDownBy }) => height / scaleResolutionDownBy);

describe("the layers of a camera", () => {
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
      const layers = layersFor(height);
      expect(layers).toHaveLength(3);
      const rates = layers.filter(({ active }) => active).map(({ maxBitrate }) => maxBitrate);
      expect(rates).toEqual([...rates].sort((a, b) => a - b));
      expect(Math.min(...rates)).toBe(150_000);
    }
  });
});
