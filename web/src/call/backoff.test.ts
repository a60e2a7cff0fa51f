import { expect, it } from "vitest";
import { backoff } from "./backoff";

it("waits longer with every attempt, but never longer than the bound", () => {
  const waits = Array.from({ length: 40 }, (_, attempt) => backoff(attempt, 0.999));
  expect(waits[0]).toBeLessThanOrEqual(400);
  expect(waits[3]).toBeGreaterThan(waits[2] ?? 0);
  expect(Math.max(...waits)).toBeLessThanOrEqual(15_000);
  expect(waits.at(-1)).toBeGreaterThan(14_000);
});

it("spreads the attempts of many clients", () => {
  expect(backoff(3, 0)).toBe(1600);
  expect(backoff(3, 0.5)).toBe(2400);
});
