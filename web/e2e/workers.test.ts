import { expect } from "vitest";
import type { Instruments } from "./rig/instrument.ts";
import { type Person, patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";
import { type InPage, inWorkshop, openWorkshop } from "./rig/workshop.ts";

/** By the number of an opening worker, how many slots of cameras it has opened frames in. */
async function camerasByWorker(person: Person): Promise<Record<number, number>> {
  const { incoming } = await person.stats();
  const counts: Record<number, number> = {};
  for (const { worker, accepts, opened } of incoming) {
    if (accepts === "camera" && opened > 0) counts[worker] = (counts[worker] ?? 0) + 1;
  }
  return counts;
}

for (const kind of ["chromium", "firefox"] as const) {
  test(`with cores to spare, ${kind} opens frames in several workers and seals in one`, async ({
    enter,
    server,
  }) => {
    const ada = await enter("Ada", "chromium");
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", kind, { cores: 8 });
    await bob.join(link);
    await bob.sees("Ada");
    const cyd = await enter("Cyd", "chromium", { cores: 8 });
    await cyd.join(link);

    for (const name of ["Ada", "Cyd"]) await bob.sees(name);
    await ada.sees("Bob");
    await bob.hears();
    expect(await workersOf(bob)).toEqual([
      "files",
      "opening-0",
      "opening-1",
      "opening-2",
      "sealing",
      "session",
    ]);
    expect(Object.keys(await camerasByWorker(bob))).toHaveLength(2);
    // All of them follow into the next epoch.
    await cyd.press("Leave");
    await bob.seesTilesOf("Ada");
    await bob.sees("Ada");
    const { others, newestEpoch, openFailures } = await bob.stats();
    expect(others).toEqual([expect.objectContaining({ epoch: newestEpoch, keys: "current" })]);
    expect(openFailures.forged).toBeUndefined();
    expect(openFailures.elsewhere).toBeUndefined();
  });
}

for (const name of ["session", "sealing", "opening-0", "opening-1"]) {
  test(`when the worker "${name}" breaks, the call ends and says so; joining again works`, async ({
    enter,
    server,
  }) => {
    const ada = await enter("Ada", "chromium");
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", "chromium", { cores: 4 });
    await bob.join(link);
    await ada.sees("Bob");
    const { newestEpoch: before } = await ada.stats();

    await breakWorker(bob, name);
    await bob.isStoppedBy(/something went wrong on this page/i);
    await ada.seesTilesOf();
    await bob.press("Try again");
    await ada.sees("Bob");
    await bob.sees("Ada");
    // Gone and come back: what was sealed before has nothing in common with what is now.
    await expect
      .poll(async () => (await ada.stats()).newestEpoch, patience)
      .toBeGreaterThanOrEqual((before ?? 0) + 2);
  });
}

function workersOf(person: Person): Promise<string[]> {
  return person.page.evaluate(() => {
    const { workers } = (window as unknown as { instruments: Instruments }).instruments;
    return [...workers.keys()].sort();
  });
}

/** Makes an exception in a worker. */
async function breakWorker(person: Person, name: string): Promise<void> {
  await person.page.evaluate((name) => {
    const { workers } = (window as unknown as { instruments: Instruments }).instruments;
    workers.get(name)?.postMessage(null);
  }, name);
}

for (const kind of ["chromium", "firefox"] as const) {
  test(`a stream opens once, whichever of ${kind}'s workers its frames are put before`, async ({
    chromium,
    firefox,
  }) => {
    const workshop = await openWorkshop();
    const browser = kind === "chromium" ? chromium : firefox;
    const { shown, dropped } = await inWorkshop(browser, workshop.url, (page) =>
      page.evaluate(() => (window as unknown as InPage).workshop.replay()),
    );
    workshop.close();
    // The last two times everything comes once more, and what is shown is new to both.
    expect(shown).toEqual([10, 0, 10, 0, 10, 0]);
    expect(dropped).toEqual([{ duplicate: 10 }, { duplicate: 20, elsewhere: 10 }]);
  });
}
