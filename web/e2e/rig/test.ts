import { mkdir } from "node:fs/promises";
import type { Browser } from "puppeteer-core";
import { test as base } from "vitest";
import { type Kind, launchChromium, launchFirefox } from "./browsers.ts";
import { type Conditions, instrument } from "./instrument.ts";
import { layKeyway } from "./keyway.ts";
import { load } from "./load.ts";
import { Person } from "./person.ts";
import { root, Server } from "./server.ts";

/** What is special about someone's browser. */
interface Arrival extends Partial<Conditions> {
  /** One of their own, instead of a profile in the one that all share. */
  browser?: Browser;
  /** Keys can be held up in it (see keyway.ts). */
  keyway?: boolean;
}

/** Lets someone in, with a browser profile of their own. */
export type Enter = (name: string, kind: Kind, arrival?: Arrival) => Promise<Person>;

interface Fixtures {
  enter: Enter;
  server: Server;
  chromium: Browser;
  firefox: Browser;
}

/** A test with a server and people; server and browsers are started once for all tests. */
export const test = base.extend<Fixtures>({
  server: [
    // biome-ignore lint/correctness/noEmptyPattern: the runner reads the wanted fixtures from it
    async ({}, use) => {
      const server = await Server.start();
      await use(server);
      await server.stop();
    },
    { scope: "worker" },
  ],
  chromium: [
    // biome-ignore lint/correctness/noEmptyPattern: see above
    async ({}, use) => {
      const browser = await launchChromium();
      await use(browser);
      await browser.close();
    },
    { scope: "worker" },
  ],
  firefox: [
    // biome-ignore lint/correctness/noEmptyPattern: see above
    async ({}, use) => {
      const browser = await launchFirefox();
      await use(browser);
      await browser.close();
    },
    { scope: "worker" },
  ],
  enter: async ({ server, chromium, firefox, task }, use) => {
    const people: Person[] = [];
    await use(async (name, kind, { browser, keyway = false, ...conditions } = {}) => {
      const { quality = "saver", tiles = load.tiles, codec, cores, devices = true } = conditions;
      const shared = kind === "chromium" ? chromium : firefox;
      const context = await (browser ?? shared).createBrowserContext();
      const page = await context.newPage();
      await page.setViewport({ width: 1000, height: 700 });
      await page.evaluateOnNewDocument(instrument, { quality, tiles, codec, cores, devices });
      if (keyway) await page.evaluateOnNewDocument(layKeyway);
      const person = new Person(name, kind, page, context);
      people.push(person);
      return person;
    });
    if (task.result?.state === "fail") await tell(task.name, people, server);
    for (const person of people) await person.goAway();
  },
});

/** Puts what a failed test leaves behind before whoever looks for the cause. */
async function tell(story: string, people: Person[], server: Server): Promise<void> {
  const folder = `${root}/target/e2e`;
  await mkdir(folder, { recursive: true });
  for (const person of people) {
    const path = `${folder}/${`${story} ${person.name}`.replace(/\W+/g, "-")}.png`;
    await person.page.screenshot({ path: path as `${string}.png` }).catch(() => undefined);
    console.error(`--- ${person.name} in ${person.kind}, ${path}\n${person.console.join("\n")}`);
    console.error(JSON.stringify(await person.stats().catch(String)));
  }
  console.error(`--- the server's last words\n${server.log.split("\n").slice(-40).join("\n")}`);
}
