import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import type { Browser, Page } from "puppeteer-core";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";
import { type InPage, inWorkshop, openWorkshop } from "./rig/workshop.ts";
import type { Comparison } from "./workshop/compare.ts";

const ROUNDS = 5;

/** A frame of 1.5 Mb/s at 30 frames a second, one of sound, and a large key frame. */
const FRAMES = [
  { bytes: 120, count: 20_000 },
  { bytes: 1_200, count: 10_000 },
  { bytes: 6_250, count: 5_000 },
  { bytes: 50_000, count: 500 },
];
const MEANS: Comparison[] = ["wasm", "webcrypto", "webcrypto, 8 at once"];
const COMPARED_MS = 400;

// Not a test of anything: what one worker seals and opens in a second of CPU time, and what the same
// would take by WebCrypto.
test("frames", { timeout: 600_000 }, async ({ chromium, firefox }) => {
  const workshop = await openWorkshop();
  const lines: string[] = [];
  for (const [kind, browser] of Object.entries({ chromium, firefox })) {
    await inWorkshop(browser, workshop.url, async (page) => {
      for (const { bytes, count } of FRAMES) {
        lines.push(`${kind}, ${bytes} B: ${await through(page, browser, count, bytes)}`);
        for (const how of MEANS) {
          lines.push(
            `${kind}, ${bytes} B, sealed by ${how}: ${await by(page, browser, bytes, how)}`,
          );
        }
      }
    });
  }
  workshop.close();
  await mkdir(`${root}/target/bench`, { recursive: true });
  await writeFile(`${root}/target/bench/frames.txt`, `${lines.join("\n")}\n`);
  console.log(lines.join("\n"));
});

/** Frames in a second of CPU time through the workers of the client, streams and all. */
async function through(
  page: Page,
  browser: Browser,
  count: number,
  bytes: number,
): Promise<string> {
  const line = await page.evaluateHandle(() => (window as unknown as InPage).workshop.line());
  const sealed: number[] = [];
  const opened: number[] = [];
  // What the engine compiles in the first round is not what a call feels.
  for (let round = -1; round < ROUNDS; round += 1) {
    await line.evaluate((line, count, bytes) => line.draw(count, bytes), count, bytes);
    const before = await cpuMs(browser);
    await line.evaluate((line) => line.seal());
    const between = await cpuMs(browser);
    const came = await line.evaluate((line) => line.open());
    const after = await cpuMs(browser);
    if (came !== count) throw new Error("not every frame was opened");
    if (round < 0) continue;
    sealed.push((count / (between - before)) * 1_000);
    opened.push((count / (after - between)) * 1_000);
  }
  await line.evaluate((line) => line.end());
  return `seals ${spread(sealed)}, opens ${spread(opened)} in a second of CPU`;
}

/** Microseconds of time, and of CPU time of the whole browser, for a frame. */
async function by(page: Page, browser: Browser, bytes: number, how: Comparison): Promise<string> {
  const time: number[] = [];
  const cpu: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = await cpuMs(browser);
    const { frames, ms } = await page.evaluate(
      (bytes, how, ms) => (window as unknown as InPage).workshop.compare(bytes, how, ms),
      bytes,
      how,
      COMPARED_MS,
    );
    // It warms up for a quarter of the time.
    cpu.push((((await cpuMs(browser)) - before) / frames / 1.25) * 1_000);
    time.push((ms / frames) * 1_000);
  }
  return `${spread(time, 1)} µs, ${spread(cpu, 1)} µs of CPU`;
}

function spread(values: number[], digits = 0): string {
  const sorted = [...values].sort((a, b) => a - b);
  const [least = 0, most = 0] = [sorted[0], sorted.at(-1)];
  const median = sorted[(sorted.length - 1) / 2] ?? 0;
  return `${median.toFixed(digits)} (${least.toFixed(digits)}–${most.toFixed(digits)})`;
}

/** CPU time of a browser with all of its processes. */
async function cpuMs(browser: Browser): Promise<number> {
  const processes = new Map<number, { parent: number; ticks: number }>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    // The name before it may have spaces in it.
    const fields = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    const [parent = 0, user = 0, system = 0] = [fields[1], fields[11], fields[12]];
    processes.set(Number(name), { parent, ticks: user + system });
  }
  const root = browser.process()?.pid;
  let ticks = 0;
  for (const [pid, { ticks: own }] of processes) {
    let at: number | undefined = pid;
    while (at !== undefined && at > 1 && at !== root) at = processes.get(at)?.parent;
    if (at === root) ticks += own;
  }
  // A hundred a second, on every Linux.
  return ticks * 10;
}
