import { expect, it } from "vitest";
import { ContextsBySsrc, fits, sourceOfContext } from "./context";

it("gives each simulcast layer a context of its own, and keeps it", () => {
  const camera = new ContextsBySsrc("camera");
  expect([11, 22, 11, 33, 22].map((ssrc) => camera.of(ssrc))).toEqual([1, 2, 1, 3, 2]);
  const screen = new ContextsBySsrc("screen");
  expect([5, 6].map((ssrc) => screen.of(ssrc))).toEqual([4, 5]);
});

it("never leaves the contexts of its source", () => {
  const camera = new ContextsBySsrc("camera");
  for (let ssrc = 0; ssrc < 20; ssrc++) expect(sourceOfContext(camera.of(ssrc))).toBe("camera");
  expect(new ContextsBySsrc("microphone").of(9)).toBe(0);
  expect(new ContextsBySsrc("screen_sound").of(9)).toBe(7);
});

it("knows which frames have no business in a slot", () => {
  expect(fits("screen_sound", "microphone")).toBe(true);
  expect(fits("microphone", "microphone")).toBe(true);
  expect(fits("camera", "screen")).toBe(false);
  expect(fits("screen", "camera")).toBe(false);
  expect(fits("camera", "microphone")).toBe(false);
  expect(sourceOfContext(8)).toBeUndefined();
});
