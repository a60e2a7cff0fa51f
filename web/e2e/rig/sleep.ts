import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Browser } from "puppeteer-core";

const run = promisify(execFile);

/** Does something while a browser with all its processes stands still, as on a laptop that is shut. */
export async function sleepOf(browser: Browser, story: () => Promise<void>): Promise<void> {
  const processes = await familyOf(browser.process()?.pid ?? 0);
  await run("kill", ["-s", "STOP", ...processes]);
  try {
    await story();
  } finally {
    await run("kill", ["-s", "CONT", ...processes]);
  }
}

/** A process and all that come from it. */
async function familyOf(pid: number): Promise<string[]> {
  const { stdout } = await run("ps", ["-e", "-o", "pid=,ppid="]);
  const pairs = stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  const family = [String(pid)];
  for (const parent of family) {
    for (const [child, of] of pairs) if (of === parent && child) family.push(child);
  }
  return family;
}
