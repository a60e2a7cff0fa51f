import { expect } from "vitest";
import { watching } from "./rig/inbound.ts";
import { type Person, patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

/**
 * The longest that a picture may stand still while a slot goes from one layer to another. On an
 * idle machine nothing stands still; here two cores run all browsers and a debug build.
 */
const STILL_MS = 2_000;

/** A window in which one person fills more lines than the small layer has, and one in which not. */
const LARGE = { width: 1000, height: 700 };
const SMALL = { width: 420, height: 320 };

interface Case {
  readonly codec: string;
  /** How Chromium layers a picture of 360 lines: a mode for each stream. */
  readonly streams: readonly string[];
  /** Without the plug-in that it downloads Firefox has no H.264. */
  readonly second: "chromium" | "firefox";
}

const cases: readonly Case[] = [
  { codec: "VP8", streams: ["L1T3", "L1T3"], second: "firefox" },
  { codec: "H264", streams: ["L1T3", "L1T3"], second: "chromium" },
  // One stream with both sizes in it.
  { codec: "VP9", streams: ["L2T3_KEY"], second: "firefox" },
  { codec: "AV1", streams: ["L2T3_KEY"], second: "firefox" },
];

for (const { codec, streams, second } of cases) {
  test(`${codec} pictures change size and place in both browsers and never stand still`, async ({
    enter,
    server,
  }) => {
    const ada = await enter("Ada", "chromium", { quality: "standard", codec });
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", "chromium", { codec });
    await bob.join(link);
    await bob.press("Turn camera off");
    for (const person of [ada, bob]) await person.press("Mute microphone");
    const viewers = [await enter("Cyd", "chromium", { codec }), await enter("Dan", second)];
    for (const viewer of viewers) {
      await viewer.join(link);
      await viewer.press("Turn camera off");
      await viewer.press("Mute microphone");
      await viewer.press("Pin Ada");
      await isHigh(viewer, 360);
    }
    expect(await modes(ada)).toEqual(streams);

    const follow = async (viewer: Person): Promise<void> => {
      const { openFailures } = await viewer.stats();
      const watched = await watching(viewer, () => resizes(viewer));
      expect(new Set(watched.heights)).toEqual(new Set([180, 360]));
      expect(watched.longestStillnessMs).toBeLessThan(STILL_MS);
      expect((await viewer.stats()).openFailures).toEqual(openFailures);
    };
    await Promise.all(viewers.map(follow));

    const before = await Promise.all(viewers.map((viewer) => viewer.stats()));
    for (const [gone, come] of [
      [ada, bob],
      [bob, ada],
    ] as const) {
      const slots = await Promise.all(viewers.map((viewer) => slotOf(viewer, gone.name)));
      await gone.press("Turn camera off");
      await Promise.all(viewers.map((viewer) => isEmpty(viewer)));
      await come.press("Turn camera on");
      await Promise.all(viewers.map((viewer) => viewer.sees(come.name)));
      expect(await Promise.all(viewers.map((viewer) => slotOf(viewer, come.name)))).toEqual(slots);
    }
    const after = await Promise.all(viewers.map((viewer) => viewer.stats()));
    expect(after.map(({ openFailures }) => openFailures)).toEqual(
      before.map(({ openFailures }) => openFailures),
    );
  });
}

async function resizes(viewer: Person): Promise<void> {
  for (const [window, height] of [
    [SMALL, 180],
    [LARGE, 360],
    [SMALL, 180],
    [LARGE, 360],
  ] as const) {
    await viewer.page.setViewport(window);
    await isHigh(viewer, height);
    await viewer.sees("Ada");
  }
}

/** Waits until Ada's decoded picture has so many lines. */
async function isHigh(viewer: Person, height: number): Promise<void> {
  const decoded = async (): Promise<number | undefined> =>
    (await viewer.stats()).tiles.find(({ name }) => name === "Ada")?.height;
  await expect
    .poll(decoded, { ...patience, message: `lines of Ada's picture in ${viewer.kind}` })
    .toBe(height);
}

/** The slot from which someone's picture comes. */
async function slotOf(viewer: Person, name: string): Promise<string | null | undefined> {
  return (await viewer.stats()).tiles.find((tile) => tile.name === name)?.slot;
}

/** Waits until nobody's picture comes. */
async function isEmpty(viewer: Person): Promise<void> {
  const filled = async (): Promise<number> =>
    (await viewer.stats()).tiles.filter(({ slot }) => slot !== null).length;
  await expect.poll(filled, { ...patience, message: `pictures for ${viewer.name}` }).toBe(0);
}

/** The scalability modes of the streams that someone sends pictures on. */
function modes(person: Person): Promise<string[]> {
  return person.ask(async (connections) => {
    const found: string[] = [];
    for (const connection of connections) {
      for (const report of (await connection.getStats()).values()) {
        if (report.type !== "outbound-rtp" || report.kind !== "video" || !report.framesSent) {
          continue;
        }
        if (report.active !== false) found.push(report.scalabilityMode);
      }
    }
    return found;
  });
}
