import { expect } from "vitest";
import type { CallStats } from "../src/call/stats.ts";
import { setDoor } from "./rig/hosts.ts";
import { holdKeys, type Keyway, releaseKeys, spoilKeys } from "./rig/keyway.ts";
import { type Person, patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

/** How it stands with the keys of the others, by name, by the page's word. */
async function keysOfOthers(person: Person): Promise<Record<string, string>> {
  const { others } = await person.stats();
  return Object.fromEntries(others.map(({ name, keys }) => [name, keys]));
}

/** Frames are given up after a second: what waited for less has to be there. */
const IN_TIME_MS = 900;

async function knowsKeys(person: Person, states: Record<string, string>): Promise<void> {
  await expect
    .poll(() => keysOfOthers(person), { ...patience, message: `keys, in ${person.kind}` })
    .toEqual(states);
}

/** What the tile of somebody's camera says, in words and to programs. */
function tileOf(person: Person, name: string): Promise<{ keys: string; text: string }> {
  return person.page.$$eval(
    '[data-tile][data-source="camera"]',
    (tiles, name) => {
      const tile = tiles.find((candidate) => candidate.getAttribute("data-name") === name);
      return { keys: tile?.getAttribute("data-keys") ?? "", text: tile?.textContent ?? "" };
    },
    name,
  );
}

async function showsOn(person: Person, name: string, keys: string, text: RegExp): Promise<void> {
  await expect
    .poll(() => tileOf(person, name), { ...patience, message: `${name}'s tile, ${person.kind}` })
    .toEqual({ keys, text: expect.stringMatching(text) });
}

test("in a call that goes well everyone's frames open with the newest keys", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);

  for (const [who, whom] of [
    [ada, "Bob"],
    [bob, "Ada"],
  ] as const) {
    await who.sees(whom);
    await knowsKeys(who, { [whom]: "current" });
    await showsOn(who, whom, "current", new RegExp(`^${whom}$`));
    const { others, newestEpoch } = await who.stats();
    expect(others[0]?.epoch).toBe(newestEpoch);
  }
  // Whoever sends nothing is not taken for somebody with a problem.
  await bob.press("Turn camera off");
  await bob.press("Mute microphone");
  await knowsKeys(ada, { Bob: "silent" });
});

test("who seals with other keys is said to be unreadable, and the others are not", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium", { keyway: true });
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await bob.sees("Ada");

  await spoilKeys(ada, true);
  const cyd = await enter("Cyd", "chromium");
  await cyd.join(link);
  for (const person of [bob, cyd]) {
    await showsOn(person, "Ada", "unreadable", /can’t be opened.*ask Ada to leave and join again/);
    const other = person === bob ? "Cyd" : "Bob";
    await person.sees(other);
    await knowsKeys(person, { Ada: "unreadable", [other]: "current" });
    await showsOn(person, other, "current", new RegExp(`^${other}$`));
  }

  await spoilKeys(ada, false);
  await cyd.press("Leave");
  await bob.sees("Ada");
  await knowsKeys(bob, { Ada: "current" });
  await showsOn(bob, "Ada", "current", /^Ada$/);
});

for (const kind of ["chromium", "firefox"] as const) {
  test(`frames wait in ${kind}'s worker for keys that are late, and open when they come`, async ({
    enter,
    server,
  }) => {
    const ada = await enter("Ada", "chromium");
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", kind, { keyway: true });
    await bob.join(link);
    await bob.sees("Ada");

    // A little late: nothing of what was sent meanwhile is lost. A host's decision changes the
    // keys and nothing else. A machine that let them through too late tells nothing of frames that
    // waited in time: it tries again.
    let [tries, waited] = [0, Number.POSITIVE_INFINITY];
    while (waited > IN_TIME_MS) {
      expect(tries, "times that this machine was too slow").toBeLessThan(8);
      const before = await camera(bob);
      await holdKeys(bob);
      const released = releasedOnceAFrameWaits(bob);
      await setDoor(ada, tries % 2 ? "open" : "lobby");
      waited = await released;
      tries += 1;
      await bob.sees("Ada");
      const after = await camera(bob);
      expect(after.late).toBeGreaterThan(before.late);
      if (waited <= IN_TIME_MS) {
        expect(after.dropped.unknown_epoch).toBe(before.dropped.unknown_epoch);
      }
    }
    await knowsKeys(bob, { Ada: "current" });

    // Much too late: the tile says why it stands still.
    await holdKeys(bob);
    await setDoor(ada, tries % 2 ? "open" : "lobby");
    await showsOn(bob, "Ada", "waiting", /Waiting for keys/);
    const { newestEpoch } = await bob.stats();
    await releaseKeys(bob);
    await bob.sees("Ada");
    await expect.poll(async () => (await keysOfOthers(bob)).Ada, patience).toBe("current");
    expect((await bob.stats()).newestEpoch).toBeGreaterThan(newestEpoch ?? 0);
  });
}

/** What was counted in the slot of the only camera that somebody sees. */
async function camera(person: Person): Promise<CallStats["incoming"][number]> {
  const { incoming, tiles } = await person.stats();
  const slot = tiles.find(({ name }) => name === "Ada")?.slot;
  const counted = incoming.find((candidate) => candidate.slot === slot);
  if (!counted) throw new Error(`${person.name} does not receive Ada's camera`);
  return counted;
}

/**
 * Lets keys through as soon as a frame of a camera waits for one. Returns for how many
 * milliseconds at most frames have waited.
 */
async function releasedOnceAFrameWaits(person: Person): Promise<number> {
  return await person.page.evaluate(async () => {
    const { conclave, keyway } = window as unknown as {
      conclave: { stats(): Promise<CallStats> };
      keyway: Keyway;
    };
    const deadline = performance.now() + 15_000;
    for (;;) {
      const asked = performance.now();
      const { incoming } = await conclave.stats();
      const waits = incoming.flatMap(({ accepts, waiting }) =>
        accepts === "camera" && waiting !== null ? [waiting] : [],
      );
      if (waits.length > 0) {
        keyway.release();
        // The answer comes from the workers that the keys went to before.
        await conclave.stats();
        return Math.max(...waits.map(({ firstMs }) => firstMs)) + (performance.now() - asked);
      }
      if (asked > deadline) throw new Error("no frame came before its key");
    }
  });
}
