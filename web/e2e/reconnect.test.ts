import { expect } from "vitest";
import { launchChromium } from "./rig/browsers.ts";
import { withAnotherAddress, withoutNetwork } from "./rig/network.ts";
import { type Person, patience } from "./rig/person.ts";
import type { Server } from "./rig/server.ts";
import { sleepOf } from "./rig/sleep.ts";
import { test } from "./rig/test.ts";

const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Two people see each other, and what is written before and after arrives once. */
async function goOn(ada: Person, bob: Person, text: string): Promise<void> {
  await ada.sees("Bob");
  await bob.sees("Ada");
  await ada.say(text);
  await bob.reads(text);
  for (const person of [ada, bob]) expect(await person.timesRead(text)).toBe(1);
}

/** Nobody joined anew: the call is the one that it was. */
const joins = (server: Server): Promise<number> => server.metric("conclave_joins_total");

test("a call goes on when the server was killed and when the network was gone", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await goOn(ada, bob, "to begin with");

  await server.dieAndReturn();
  await goOn(ada, bob, "after the server was killed");
  // It counts from its start.
  expect(await joins(server)).toBe(0);

  await withoutNetwork(async () => {
    await ada.bannerSays(/Reconnecting/);
    // Said while nobody can hear it.
    await ada.say("said into the void");
    await rest(2_000);
  });
  await bob.reads("said into the void");
  await goOn(ada, bob, "after the network was gone");
  // It counts from its start.
  expect(await joins(server)).toBe(0);
});

test("a call goes on from another address", async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await goOn(ada, bob, "to begin with");
  const before = await joins(server);

  await withAnotherAddress(async () => {
    await goOn(ada, bob, "from another address");
    expect(await joins(server)).toBe(before);
  });
});

test("a laptop that slept is back in its call, whose others saw it gone", async ({
  enter,
  server,
}) => {
  const browser = await launchChromium();
  const ada = await enter("Ada", "chromium", { browser });
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await goOn(ada, bob, "to begin with");
  const before = await joins(server);

  await sleepOf(browser, async () => {
    // The server notices by itself that nothing comes any more.
    await expect.poll(() => bob.labelOf("Ada"), patience).toMatch(/Reconnecting/);
    await bob.say("said while Ada slept");
  });
  await ada.reads("said while Ada slept");
  await goOn(ada, bob, "after the sleep");
  expect(await joins(server)).toBe(before);
  expect(await bob.labelOf("Ada")).not.toMatch(/Reconnecting/);
  await ada.goAway();
  await browser.close();
});
