import { expect } from "vitest";
import type { Kind } from "./rig/browsers.ts";
import { watching } from "./rig/inbound.ts";
import { type Person, patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

/**
 * The longest that a picture may stand still while a slot goes from one layer to another. On an
 * idle machine nothing stands still; here two cores run three browsers and a debug build.
 */
const STILL_MS = 2_000;

/** A window in which one person fills more lines than the small layer has, and one in which not. */
const large = { width: 1000, height: 700 };
const small = { width: 420, height: 320 };

test("a picture follows the size of its tile, in both browsers, and never stands still", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium", { quality: "standard" });
  const link = await ada.startCall(server.url);
  const viewers: Person[] = [];
  for (const [name, kind] of [
    ["Bob", "chromium"],
    ["Cyd", "firefox"],
  ] as const satisfies [string, Kind][]) {
    const viewer = await enter(name, kind);
    await viewer.join(link);
    await viewer.press("Turn camera off");
    // In a grid of three every tile would be small.
    await viewer.press("Pin Ada");
    viewers.push(viewer);
  }
  for (const viewer of viewers) {
    await isHigh(viewer, 360);
    const watched = await watching(viewer, async () => {
      for (const [window, height] of [
        [small, 180],
        [large, 360],
        [small, 180],
        [large, 360],
      ] as const) {
        await viewer.page.setViewport(window);
        await isHigh(viewer, height);
      }
      await viewer.press("Unpin Ada");
      await viewer.press("Pin Ada");
      await viewer.sees("Ada");
    });
    console.log(viewer.kind, JSON.stringify(watched));
    expect(watched.heights.slice(0, 5)).toEqual([360, 180, 360, 180, 360]);
    expect(watched.longestStillnessMs).toBeLessThan(STILL_MS);
    expect(watched.frozenMs).toBeLessThan(STILL_MS);
    expect((await viewer.stats()).openFailures).toEqual({});
  }
});

/** Waits until Ada's decoded picture has so many lines. */
async function isHigh(viewer: Person, height: number): Promise<void> {
  const decoded = async (): Promise<number | undefined> =>
    (await viewer.stats()).tiles.find(({ name }) => name === "Ada")?.height;
  await expect
    .poll(decoded, { ...patience, message: `lines of Ada's picture in ${viewer.kind}` })
    .toBe(height);
}
