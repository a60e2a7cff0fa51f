import { expect } from "vitest";
import { openPeople } from "./acquaintances.ts";
import { type Person, patience } from "./person.ts";

/** Chooses who may join, by the words on the page. */
export async function setDoor(host: Person, choice: "open" | "lobby" | "locked"): Promise<void> {
  await openPeople(host);
  await host.page.locator(`.doors input[value="${choice}"]`).click();
  await expect
    .poll(() => host.page.$eval(`.doors input[value="${choice}"]`, (it) => it.checked), patience)
    .toBe(true);
}

/** Waits until a host is asked to let this one in. */
export async function isAskedToLetIn(host: Person, name: string): Promise<void> {
  await host.page.waitForSelector(`[data-visitor="${name}"]`);
}

/** Waits until a text is on the page. */
export async function reads(person: Person, text: string): Promise<void> {
  await expect
    .poll(() => person.page.$eval("body", (body) => body.innerText), {
      ...patience,
      message: `${person.name} reads`,
    })
    .toContain(text);
}

/** The link as the page's address has it. */
export const link = (person: Person): Promise<string> => person.page.evaluate(() => location.href);

/** The link as the page shows it to be passed on. */
export async function shownLink(person: Person): Promise<string> {
  await openPeople(person);
  return person.page.$eval(".panel .invitation-link code", (code) => code.textContent ?? "");
}

/** Presses a button in the sheet of somebody. */
export async function pressInSheet(person: Person, text: string): Promise<void> {
  await person.page.locator(`::-p-xpath(//dialog[@open]//button[contains(., "${text}")])`).click();
}
