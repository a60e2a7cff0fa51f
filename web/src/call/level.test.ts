import { expect, it } from "vitest";
import { levelOf } from "./level";

const tone = (amplitude: number) =>
  Float32Array.from({ length: 1024 }, (_, i) => amplitude * Math.sin(i / 5));

it("grows with loudness, from silence to full scale", () => {
  expect(levelOf(new Float32Array(1024))).toBe(0);
  expect(levelOf(tone(0.01))).toBeGreaterThan(0);
  expect(levelOf(tone(0.1))).toBeGreaterThan(levelOf(tone(0.01)));
  expect(levelOf(tone(1))).toBe(1);
});
