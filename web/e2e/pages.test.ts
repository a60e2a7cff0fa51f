import { expect } from "vitest";
import { Bots } from "./rig/bot.ts";
import { arriving } from "./rig/inbound.ts";
import { type Person, patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

const BOTS = 9;
/** Of nine tiles on a page one is the viewer's own. */
const ON_PAGE = 8;

test("the pages of a large room show everyone, and only what shows is received", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium", { tiles: 9 });
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox", { tiles: 9 });
  await bob.join(link);
  // Who speaks moves to the first page, so nobody does: the pages are compared with each other.
  for (const viewer of [ada, bob]) {
    await viewer.press("Turn camera off");
    await viewer.press("Mute microphone");
  }
  const bots = new Bots(server, link, {
    publishers: BOTS,
    seconds: 120,
    name: "Robo",
    scenario: "cameras.toml",
  });
  await bots.during(Promise.all([ada, bob].map((viewer) => turnsPages(viewer))));
  bots.stop();
  await bots.report;
});

test("more tiles than there are slots for take another connection, and nothing else", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium", { tiles: 9 });
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await ada.sees("Bob");
  await ada.press("Settings");
  const picker = await ada.page.waitForSelector("::-p-aria(People on a page)");
  await picker?.select("49");

  const cameras = (): Promise<number> =>
    ada.ask(async (connections) => {
      const slots = connections.at(-1)?.getTransceivers() ?? [];
      const receivers = slots.filter(({ direction }) => direction === "recvonly");
      return receivers.filter(({ receiver }) => receiver.track.kind === "video").length - 1;
    });
  await expect.poll(cameras, patience).toBe(49);
  await ada.sees("Bob");
  await bob.sees("Ada");
  expect(ada.console).toEqual([]);
});

async function turnsPages(viewer: Person): Promise<void> {
  const others = BOTS + 1;
  await isOnPage(viewer, "1 of 2", ON_PAGE);
  const first = await names(viewer);
  const { openFailures } = await viewer.stats();

  await viewer.page.keyboard.press("PageDown");
  await isOnPage(viewer, "2 of 2", others - ON_PAGE);
  const second = await names(viewer);
  expect(new Set([...first, ...second]).size).toBe(others);

  // The slots of those who are out of sight now were theirs before.
  await viewer.press("Previous page");
  await isOnPage(viewer, "1 of 2", ON_PAGE);
  expect((await viewer.stats()).openFailures).toEqual(openFailures);
}

/** Waits for the page, until every picture on it moves and no other one arrives. */
async function isOnPage(person: Person, page: string, people: number): Promise<void> {
  const pager = await person.page.waitForSelector('[aria-label="Pages of people"] [role="status"]');
  await expect
    .poll(() => pager?.evaluate((element) => element.textContent), patience)
    .toBe(`Page ${page}`);
  await expect.poll(() => names(person), patience).toHaveLength(people);
  // The viewers themselves have their cameras off.
  const moving = (await names(person)).filter((name) => name.startsWith("Robo"));
  await Promise.all(moving.map((name) => person.sees(name)));
  await expect
    .poll(() => arriving(person), { ...patience, message: `pictures that ${person.name} receives` })
    .toBe(moving.length);
}

async function names(person: Person): Promise<string[]> {
  return (await person.tiles()).filter(({ self }) => !self).map(({ name }) => name);
}
