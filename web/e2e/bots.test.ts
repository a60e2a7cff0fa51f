import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect } from "vitest";
import { Bots } from "./rig/bot.ts";
import { patience } from "./rig/person.ts";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";

/** The colours of the lower halves of the recording's picture, left and right, as ffmpeg reads
 * them. A square moves in the upper half. */
async function recordedColours(): Promise<number[]> {
  const { stdout } = await promisify(execFile)(
    "ffmpeg",
    [
      ...["-loglevel", "error", "-i", `${root}/target/media/camera.png`],
      ...["-vf", "crop=iw:ih/2:0:ih/2,scale=2:1:flags=area"],
      ...["-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
    ],
    { encoding: "buffer" },
  );
  return [...stdout];
}

test("a native bot's recording arrives in both browsers, picture and sound", async ({
  enter,
  server,
}) => {
  const recorded = await recordedColours();
  expect(recorded).toHaveLength(6);
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  // Only the bot is to be heard.
  await ada.press("Mute microphone");
  await bob.press("Mute microphone");

  const wanted = { publishers: 1, subscribers: 0, seconds: 60, name: "Robo" };
  const bots = new Bots(server, link, wanted);
  for (const person of [ada, bob]) {
    const robo = await person.namedLike(/^Robo/);
    await person.sees(robo);
    await expect
      .poll(
        async () => {
          const drawn = await person.coloursOf(robo);
          return Math.max(...drawn.map((value, at) => Math.abs(value - (recorded[at] ?? 0))));
        },
        { ...patience, message: `the greatest distance to the recording in ${person.kind}` },
      )
      .toBeLessThan(20);
    await person.hears();
  }
  bots.stop();
  await bots.report;
});

test("a native bot opens what both browsers send", async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await ada.sees("Bob");

  const wanted = { publishers: 0, subscribers: 1, seconds: 8, name: "Robo" };
  const { report } = new Bots(server, link, wanted);
  const { encryption } = await report;
  // Two cameras at some frames a second, two microphones at 50.
  expect(encryption.frames_opened).toBeGreaterThan(400);
  expect(encryption.failures).toBe(0);
});
