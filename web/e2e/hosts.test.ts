import { expect } from "vitest";
import { choose, knowsAs } from "./rig/acquaintances.ts";
import { isAskedToLetIn, link, pressInSheet, reads, setDoor, shownLink } from "./rig/hosts.ts";
import { patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

/** Who is there for their keys only. */
const still = { devices: false };

/** One call after the other, on a machine that has other things to do. */
const several = { timeout: 180_000 };

test(
  "people wait before a lobby until a host lets them in, or does not",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "chromium");
    const call = await ada.startCall(server.url);
    await setDoor(ada, "lobby");

    const bob = await enter("Bob", "firefox");
    await bob.knock(call);
    await reads(bob, "Waiting for a host to let you in");
    await isAskedToLetIn(ada, "Bob");
    expect((await bob.stats()).connection, "no media before the door").toBe(null);
    await ada.press("Let in");
    await ada.seesTilesOf("Bob");
    await ada.sees("Bob");
    await bob.sees("Ada");

    const mallory = await enter("Mallory", "chromium", still);
    await mallory.knock(call);
    await isAskedToLetIn(ada, "Mallory");
    // Bob is no host, and is not asked.
    expect(await bob.page.$("[data-visitor]")).toBe(null);
    await ada.press("Don’t let in");
    await reads(mallory, "Ada did not let you in");
    await ada.seesTilesOf("Bob");
  },
);

test(
  "a host is warned of who knocks under a known name from another device",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "chromium", still);
    const bob = await enter("Bob", "firefox", still);
    await bob.join(await ada.startCall(server.url));
    await knowsAs(ada, "Bob", "new");

    const call = await ada.startCall(server.url);
    await setDoor(ada, "lobby");
    const mallory = await enter("Bob", "chromium", still);
    await mallory.knock(call);
    await isAskedToLetIn(ada, "Bob");
    await reads(ada, "Careful: is this really Bob?");
    await ada.press("Don’t let in");
    await reads(mallory, "Ada did not let you in");

    await bob.knock(call);
    await reads(ada, "On a device that you have met before");
    await ada.press("Let in");
    await knowsAs(ada, "Bob", "known");
  },
);

test("a locked call tells newcomers so", several, async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium", still);
  const call = await ada.startCall(server.url);
  await setDoor(ada, "locked");
  const bob = await enter("Bob", "firefox", still);
  await bob.knock(call);
  await reads(bob, "The call is locked");
  await setDoor(ada, "open");
  await bob.press("Try again");
  await ada.seesTilesOf("Bob");
});

test(
  "a host removes somebody and changes the link, and the call goes on without them",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "chromium");
    const call = await ada.startCall(server.url);
    const bob = await enter("Bob", "firefox");
    await bob.join(call);
    const mallory = await enter("Mallory", "chromium", still);
    await mallory.join(call);
    await ada.seesTilesOf("Bob", "Mallory");

    await choose(ada, "Mallory");
    await pressInSheet(ada, "Remove from the call");
    await pressInSheet(ada, "Remove from the call");
    await reads(mallory, "Ada removed you from the call");
    await ada.seesTilesOf("Bob");
    await bob.seesTilesOf("Ada");
    await bob.sees("Ada");
    await ada.sees("Bob");

    await expect.poll(() => link(bob), patience).not.toBe(call);
    const changed = await link(ada);
    expect(changed).toBe(await link(bob));
    expect(changed).toContain(await shownLink(bob));

    // With the old link nobody comes in, with the new one everybody does.
    await mallory.page.goto("about:blank");
    await mallory.knock(call);
    await reads(mallory, "This link doesn’t open this call");
    const carol = await enter("Carol", "chromium", still);
    await carol.join(changed);
    await ada.seesTilesOf("Bob", "Carol");
    // Who reloads comes back by the new link.
    await bob.page.reload();
    await bob.press("Join");
    await ada.seesTilesOf("Bob", "Carol");
    await ada.sees("Bob");
  },
);

test(
  "a host mutes the others, who can speak again, and makes another one a host",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "chromium");
    const call = await ada.startCall(server.url);
    const bob = await enter("Bob", "firefox");
    await bob.join(call);
    await ada.seesTilesOf("Bob");
    expect(await bob.page.$(".doors")).toBe(null);

    await setDoor(ada, "open");
    await ada.press("Mute everyone else");
    await reads(bob, "Ada muted you.");
    await bob.page.waitForSelector('::-p-aria(Unmute microphone[role="button"])');
    await bob.press("Unmute microphone");
    await ada.hears();

    await choose(ada, "Bob");
    await pressInSheet(ada, "Make host");
    await setDoor(bob, "lobby");
    await expect
      .poll(() => ada.page.$eval('.doors input[value="lobby"]', (it) => it.checked), patience)
      .toBe(true);
  },
);
