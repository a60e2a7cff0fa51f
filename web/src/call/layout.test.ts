import { describe, expect, it } from "vitest";
import { arrange } from "./layout";

const wide = { width: 1280, height: 720 };
const phone = { width: 390, height: 700 };

describe("the grid", () => {
  it.each([
    [1, wide, 1],
    [2, wide, 2],
    [3, wide, 2],
    [4, wide, 2],
    [9, wide, 3],
    [1, phone, 1],
    [2, phone, 1],
    [6, phone, 2],
  ])("puts %i tiles of %o into %i columns", (count, area, columns) => {
    expect(arrange(count, area, 8).columns).toBe(columns);
  });

  it("never overflows the area", () => {
    for (let count = 1; count <= 12; count++) {
      for (const area of [wide, phone, { width: 300, height: 120 }, { width: 2560, height: 900 }]) {
        const grid = arrange(count, area, 8);
        expect(grid.columns * grid.rows).toBeGreaterThanOrEqual(count);
        expect(grid.columns * (grid.tileWidth + 8) - 8).toBeLessThanOrEqual(area.width);
        expect(grid.rows * (grid.tileHeight + 8) - 8).toBeLessThanOrEqual(area.height);
        expect(grid.tileWidth).toBeGreaterThan(0);
      }
    }
  });

  it("keeps tiles within the shapes of cameras", () => {
    const ratio = (count: number, area: typeof wide) => {
      const grid = arrange(count, area, 8);
      return grid.tileWidth / grid.tileHeight;
    };
    expect(ratio(1, { width: 3000, height: 500 })).toBeLessThan(1.79);
    expect(ratio(3, { width: 900, height: 800 })).toBeGreaterThan(1.32);
    expect(ratio(1, { width: 300, height: 2000 })).toBeGreaterThan(0.74);
  });

  it("survives an area that has not been measured yet", () => {
    expect(arrange(3, { width: 0, height: 0 }, 8).tileWidth).toBe(0);
  });
});
