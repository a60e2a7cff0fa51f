import type { Page } from "puppeteer-core";
import { expect } from "vitest";
import {
  callCode,
  choose,
  clearStorage,
  isWarned,
  knowsAs,
  listed,
  ownDevice,
  pairCode,
  warnings,
} from "./rig/acquaintances.ts";
import { patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

/** One call after the other, on a machine that has other things to do. */
const several = { timeout: 180_000 };

/** Nothing here is about pictures. */
const still = { devices: false };

const DIGITS = /^\d{5}( \d{5}){5}$/;

test(
  "a device is known again after a reload, and in another call",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "chromium", still);
    const bob = await enter("Bob", "firefox", still);
    const link = await ada.startCall(server.url);
    await bob.join(link);
    const bobs = await knowsAs(ada, "Bob", "new");
    const adas = await knowsAs(bob, "Ada", "new");
    expect(await ownDevice(ada)).toBe(adas);
    expect(await ownDevice(bob)).toBe(bobs);
    expect(adas).not.toBe(bobs);

    // Nobody who was there has met Bob before this call; he has met Ada.
    await bob.page.reload();
    await bob.press("Join");
    expect(await knowsAs(bob, "Ada", "known")).toBe(adas);
    await ada.seesTilesOf("Bob");
    expect(await knowsAs(ada, "Bob", "new")).toBe(bobs);

    await bob.join(await ada.startCall(server.url));
    expect(await knowsAs(ada, "Bob", "known")).toBe(bobs);
    expect(await knowsAs(bob, "Ada", "known")).toBe(adas);
    expect(await warnings(ada)).toEqual([]);
    expect(await warnings(bob)).toEqual([]);
  },
);

for (const kind of ["chromium", "firefox"] as const) {
  test(
    `two windows of ${kind} that make their first call at once are one device`,
    several,
    async ({ enter, server }) => {
      const ada = await enter("Ada", kind === "chromium" ? "firefox" : "chromium", still);
      const link = await ada.startCall(server.url);
      const bob = await enter("Bob", kind, still);
      const second = await bob.page.browserContext().newPage();
      await bob.page.goto(link);
      await second.goto(link);
      // One of the windows is behind the other, where no button can be pressed.
      const press = (page: Page, name: string) =>
        page.$eval(
          'input[name="name"]',
          (field, name) => {
            field.value = name;
            field.dispatchEvent(new Event("input", { bubbles: true }));
            field.form?.requestSubmit();
          },
          name,
        );
      await Promise.all([press(bob.page, "Bob"), press(second, "Rob")]);
      const one = await knowsAs(ada, "Bob", "new");
      expect(await knowsAs(ada, "Rob", "new")).toBe(one);
    },
  );
}

test(
  "two people see the same digits for each other, and everyone those of the call",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "chromium", still);
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", "firefox", still);
    await bob.join(link);
    await knowsAs(ada, "Bob", "new");
    await choose(ada, "Bob");
    await choose(bob, "Ada");
    const digits = await pairCode(ada);
    expect(digits).toMatch(DIGITS);
    expect(await pairCode(bob)).toBe(digits);
    await ada.press("Close");
    await bob.press("Close");

    const ofTwo = await callCode(ada);
    expect(ofTwo).toMatch(DIGITS);
    expect(ofTwo).not.toBe(digits);
    await expect.poll(() => callCode(bob), patience).toBe(ofTwo);

    const cyd = await enter("Cyd", "chromium", still);
    await cyd.join(link);
    await knowsAs(ada, "Cyd", "new");
    await knowsAs(bob, "Cyd", "new");
    const ofThree = await callCode(ada);
    expect(ofThree).not.toBe(ofTwo);
    await expect.poll(() => callCode(bob), patience).toBe(ofThree);
    await expect.poll(() => callCode(cyd), patience).toBe(ofThree);
    await choose(ada, "Cyd");
    expect(await pairCode(ada)).not.toBe(digits);
  },
);

test(
  "who was marked as verified is so in the next call, until the mark is removed",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "firefox", still);
    const bob = await enter("Bob", "chromium", still);
    await bob.join(await ada.startCall(server.url));
    await choose(ada, "Bob");
    await ada.press("They are the same – mark as verified");
    await knowsAs(ada, "Bob", "verified");
    await knowsAs(bob, "Ada", "new");

    await bob.join(await ada.startCall(server.url));
    await knowsAs(ada, "Bob", "verified");
    await choose(ada, "Bob");
    await ada.press("Remove the mark");
    await ada.press("Close");
    await knowsAs(ada, "Bob", "known");

    await bob.join(await ada.startCall(server.url));
    await knowsAs(ada, "Bob", "known");
  },
);

for (const [kind, other] of [
  ["chromium", "firefox"],
  ["firefox", "chromium"],
] as const) {
  test(
    `${kind} warns of a known name on a new device until the caller knows about it`,
    several,
    async ({ enter, server }) => {
      const ada = await enter("Ada", kind, still);
      const bob = await enter("Bob", other, still);
      await bob.join(await ada.startCall(server.url));
      const before = await knowsAs(ada, "Bob", "new");

      await clearStorage(bob, server.url);
      await bob.join(await ada.startCall(server.url));
      await isWarned(ada, /Bob’s device is new.*met Bob before.*someone who uses Bob’s name/);
      expect(await knowsAs(ada, "Bob", "changed")).not.toBe(before);
      // That it was seen once does not make it known, and the warning does not go by itself.
      await bob.join(await ada.startCall(server.url));
      await isWarned(ada, /Bob’s device is new/);
      // Longer than notices stay. That does not depend on the browser.
      if (kind === "chromium") await new Promise((resolve) => setTimeout(resolve, 16_000));
      await isWarned(ada, /Bob’s device is new/);
      expect(await warnings(bob)).toEqual([]);

      await ada.press("I know about it");
      await expect.poll(() => warnings(ada), patience).toEqual([]);
      await bob.join(await ada.startCall(server.url));
      await knowsAs(ada, "Bob", "known");
      expect(await warnings(ada)).toEqual([]);
    },
  );
}

test(
  "the warning is graver when the device before was verified, and ends with a check",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "chromium", still);
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", "firefox", still);
    await bob.join(link);
    await choose(ada, "Bob");
    await ada.press("They are the same – mark as verified");
    await knowsAs(ada, "Bob", "verified");

    // Beside the one who is known.
    const mallory = await enter(" bOB", "chromium", still);
    await mallory.join(link);
    await isWarned(ada, /really bOB\?.*had verified it, and that one is in this call as well/);
    await knowsAs(ada, "Bob", "verified");
    await mallory.goAway();
    await isWarned(ada, /They have left/);
    await ada.press("Dismiss");
    await expect.poll(() => warnings(ada), patience).toEqual([]);

    await clearStorage(bob, server.url);
    await bob.join(link);
    await isWarned(ada, /really Bob\?.*had verified it.*treat this person as a stranger/);
    await ada.press("Check now");
    await ada.page.waitForSelector("dialog[open]");
    await ada.press("They are the same – mark as verified");
    await expect.poll(() => warnings(ada), patience).toEqual([]);
    await knowsAs(ada, "Bob", "verified");
  },
);

test(
  "who finds that digits differ is told what to do, and warned in every call",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "firefox", still);
    const bob = await enter("Bob", "chromium", still);
    await bob.join(await ada.startCall(server.url));
    await choose(ada, "Bob");
    await ada.press("They differ");
    await ada.isStoppedBy(/Leave the call, ask whoever invited you for the link anew/);
    await ada.press("Leave the call");
    await ada.page.waitForSelector('::-p-aria(Rejoin[role="button"])');

    await bob.join(await ada.startCall(server.url));
    await isWarned(ada, /Don’t trust that this is Bob/);
    await knowsAs(ada, "Bob", "differs");
    await ada.press("Dismiss");
    await expect.poll(() => warnings(ada), patience).toEqual([]);
    expect((await listed(ada)).filter(({ standing }) => standing === "differs")).toHaveLength(1);
  },
);

test(
  "a browser that keeps nothing says so, and takes part all the same",
  several,
  async ({ enter, server }) => {
    const ada = await enter("Ada", "chromium", still);
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", "chromium", still);
    const browser = await bob.page.createCDPSession();
    // Zero would lift the limit.
    const full = { origin: server.url, quotaSize: 1 };
    await browser.send("Storage.overrideQuotaForOrigin", full);
    await bob.join(link);
    await bob.isTold(/keeps nothing for this page/);
    const first = await knowsAs(ada, "Bob", "new");
    await knowsAs(bob, "Ada", "new");
    await bob.page.reload();
    await bob.press("Join");
    await isWarned(ada, /Bob’s device is new/);
    expect(await knowsAs(ada, "Bob", "changed")).not.toBe(first);
  },
);
