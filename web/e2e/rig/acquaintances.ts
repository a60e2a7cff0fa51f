import { expect } from "vitest";
import { type Person, patience } from "./person.ts";

/** Somebody in the list of people, as the page shows them. */
export interface Listed {
  name: string;
  device: string;
  self: boolean;
  /** None for oneself. */
  standing: string | null;
}

/** Opens the list of people, unless it is open. */
export async function openPeople({ page }: Person): Promise<void> {
  if (!(await page.$(".people"))) {
    await page.locator("::-p-xpath(//button[starts-with(@aria-label, 'People:')])").click();
  }
  await page.waitForSelector(".people");
}

/** Everyone in the list of people. */
export async function listed(person: Person): Promise<Listed[]> {
  await openPeople(person);
  return person.page.$$eval("[data-person]", (rows) =>
    rows.map((row) => ({
      name: row.getAttribute("data-person") ?? "",
      device: row.getAttribute("data-device") ?? "",
      self: row.getAttribute("data-self") === "true",
      standing: row.getAttribute("data-standing"),
    })),
  );
}

/** Waits until somebody is listed with this standing, and returns their device. */
export async function knowsAs(person: Person, name: string, standing: string): Promise<string> {
  const find = async () => (await listed(person)).find((one) => one.name === name && !one.self);
  await expect
    .poll(async () => (await find())?.standing, {
      ...patience,
      message: `what ${person.name} knows of ${name}`,
    })
    .toBe(standing);
  const device = (await find())?.device ?? "";
  expect(device).toMatch(/^[0-9a-f]{64}$/);
  return device;
}

/** The device that somebody has by their own page. */
export async function ownDevice(person: Person): Promise<string> {
  return (await listed(person)).find(({ self }) => self)?.device ?? "";
}

const digitsIn = (person: Person, place: string): Promise<string> =>
  person.page.$eval(`${place} [data-digits]`, (digits) => {
    // What is on the screen, not what the page says of it.
    const shown = [...digits.querySelectorAll("[aria-hidden]")];
    return shown.map((group) => group.textContent).join(" ");
  });

/** The digits that everyone in a call should see alike. */
export async function callCode(person: Person): Promise<string> {
  await openPeople(person);
  await person.page.waitForSelector(".panel [data-digits]");
  return digitsIn(person, ".panel");
}

/** Chooses somebody to compare digits with. */
export async function choose(person: Person, name: string): Promise<void> {
  await openPeople(person);
  await person.page.locator(`[data-person="${name}"][data-self="false"] button`).click();
  await person.page.waitForSelector("dialog[open]");
}

/** The digits to compare with whoever was chosen. */
export const pairCode = (person: Person): Promise<string> => digitsIn(person, "dialog");

/** Waits for exactly one loud warning, in which this stands. */
export async function isWarned(person: Person, pattern: RegExp): Promise<void> {
  await expect
    .poll(() => warnings(person), { ...patience, message: `${person.name} is warned` })
    .toEqual([expect.stringMatching(pattern)]);
}

/** The loud warnings on the page. */
export const warnings = ({ page }: Person): Promise<string[]> =>
  page.$$eval('[data-alarm][role="alert"]', (all) => all.map((one) => one.textContent ?? ""));

/** Leaves any call and clears the site's data, as the browser's settings do. */
export async function clearStorage({ page }: Person, server: string): Promise<void> {
  await page.goto(server);
  await page.evaluate(async () => {
    for (const { name = "" } of await indexedDB.databases()) {
      await new Promise((resolve, reject) => {
        const request = indexedDB.deleteDatabase(name);
        request.onsuccess = resolve;
        request.onerror = reject;
      });
    }
  });
}
