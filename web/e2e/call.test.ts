import { expect } from "vitest";
import { patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

test("Chromium and Firefox see and hear each other, under the right names", async ({
  enter,
  server,
}) => {
  // With as many slots as a page that nobody has changed asks for.
  const ada = await enter("Ada", "chromium", { tiles: 25 });
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox", { tiles: 25 });
  await bob.join(link);

  await ada.seesTilesOf("Bob");
  await bob.seesTilesOf("Ada");
  await ada.sees("Bob");
  await bob.sees("Ada");
  await ada.hears();
  await bob.hears();
});

test("three people see each other, the last one included; who leaves is gone", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await ada.sees("Bob");
  const cyd = await enter("Cyd", "chromium");
  await cyd.join(link);

  await cyd.seesTilesOf("Ada", "Bob");
  await ada.seesTilesOf("Bob", "Cyd");
  await bob.seesTilesOf("Ada", "Cyd");
  for (const [who, whom] of [
    [cyd, "Ada"],
    [cyd, "Bob"],
    [ada, "Cyd"],
    [ada, "Bob"],
    [bob, "Cyd"],
    [bob, "Ada"],
  ] as const) {
    await who.sees(whom);
  }

  await bob.press("Leave");
  await ada.seesTilesOf("Cyd");
  await cyd.seesTilesOf("Ada");
  await cyd.goAway();
  await ada.seesTilesOf();
});

test("a camera that is off stands still for the others, and comes back", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await bob.sees("Ada");

  await ada.press("Turn camera off");
  await expect
    .poll(async () => {
      const before = await bob.framesOf("Ada");
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return (await bob.framesOf("Ada")) - before;
    }, patience)
    .toBeLessThanOrEqual(0);
  await bob.seesTilesOf("Ada");

  await ada.press("Turn camera on");
  await bob.sees("Ada");
});

test("a muted microphone is silent, and heard again afterwards", async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await ada.hears();
  await bob.hears();

  await bob.press("Mute microphone");
  await expect.poll(() => ada.loudness(), patience).toBeLessThan(0.001);
  await bob.press("Unmute microphone");
  await ada.hears();
});

test("a shared screen is seen beside the camera, until sharing stops", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await bob.sees("Ada");

  await ada.press("Share screen");
  await bob.sees("Ada", "screen");
  await bob.sees("Ada");
  await ada.press("Stop sharing");
  await expect
    .poll(async () => (await bob.tiles()).some((tile) => tile.source === "screen"), patience)
    .toBe(false);
});

test("chat reaches everyone with the name of its writer", async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await ada.seesTilesOf("Bob");

  await ada.say("Can you hear me?");
  await bob.reads("Ada", "Can you hear me?");
  await bob.say("<b>Loud</b> & clear");
  await ada.reads("Bob", "<b>Loud</b> & clear");
  await bob.reads("Bob", "<b>Loud</b> & clear");
});
