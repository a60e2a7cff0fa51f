import { mkdir } from "node:fs/promises";
import type { Browser } from "puppeteer-core";
import { launchChromium } from "./rig/browsers.ts";
import type { Person } from "./rig/person.ts";
import { portrait, sitters } from "./rig/portraits.ts";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";

// Not a test of anything: three people in a real call, for the README.
test("docs/screenshot.png", { timeout: 180_000 }, async ({ chromium, enter, server }) => {
  const browsers: Browser[] = [];
  const people: Person[] = [];
  let link = "";
  for (const name of sitters) {
    const film = await portrait(name, chromium);
    const browser = await launchChromium([`--use-file-for-fake-video-capture=${film}`]);
    browsers.push(browser);
    const person = await enter(name, "chromium", { quality: "standard", browser });
    await person.page.setViewport({ width: 1280, height: 800 });
    people.push(person);
    if (link) await person.join(link);
    else link = await person.startCall(server.url);
  }
  const [maya, jonas, aiko] = people;
  if (!maya || !jonas || !aiko) throw new Error("three people are needed");
  for (const name of sitters.slice(1)) await maya.sees(name);
  // One of them speaks.
  await maya.press("Mute microphone");
  await aiko.press("Mute microphone");
  await jonas.say("Slides are ready. Shall we start?");
  await aiko.say("One minute, getting tea");
  await maya.say("No hurry");
  await maya.reads("Aiko", "tea");
  // Until the pictures have grown sharp and the notices have gone.
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  await mkdir(`${root}/docs`, { recursive: true });
  await maya.page.screenshot({ path: `${root}/docs/screenshot.png` });
  for (const person of people) await person.goAway();
  for (const browser of browsers) await browser.close();
});
