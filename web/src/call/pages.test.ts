import { describe, expect, it } from "vitest";
import { pageOf, pageSizeFor, slotsFor } from "./pages";

const people = (count: number) => Array.from({ length: count }, (_, index) => index);

describe("the size of a page", () => {
  it.each([
    ["a phone", { width: 374, height: 700 }, 9],
    ["a phone that lies", { width: 828, height: 300 }, 9],
    ["a small laptop", { width: 1248, height: 640 }, 25],
    ["a large screen", { width: 1888, height: 930 }, 49],
    ["a window that is not laid out yet", { width: 0, height: 0 }, 9],
  ])("fits %s", (_, area, size) => {
    expect(pageSizeFor(area)).toBe(size);
  });
});

it("a phone is not ready for more than it can show", () => {
  expect(slotsFor(49, { width: 390, height: 844 })).toBe(9);
  expect(slotsFor(49, { width: 1366, height: 768 })).toBe(49);
  expect(slotsFor(25, { width: 2560, height: 1440 })).toBe(25);
});

describe("the pages", () => {
  it("are one for as many as have a slot each", () => {
    expect(pageOf(people(9), { size: 9, page: 0 })).toEqual({ shown: people(9), at: 0, of: 1 });
  });

  it("leave a place for whoever looks, and nobody out", () => {
    const view = (page: number) => pageOf(people(20), { size: 9, page });
    expect(view(0).of).toBe(3);
    expect([0, 1, 2].flatMap((page) => view(page).shown)).toEqual(people(20));
    expect(view(1).shown).toHaveLength(8);
  });

  it("end with the last one, also after people have left", () => {
    expect(pageOf(people(10), { size: 9, page: 5 })).toEqual({ shown: [8, 9], at: 1, of: 2 });
    expect(pageOf(people(2), { size: 9, page: 5 })).toEqual({ shown: [0, 1], at: 0, of: 1 });
  });
});
