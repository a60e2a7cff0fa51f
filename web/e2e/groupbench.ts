import { mkdir, writeFile } from "node:fs/promises";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";
import { type InPage, inWorkshop, openWorkshop } from "./rig/workshop.ts";

const SIZES = [10, 50, 150, 500];
const REPETITIONS = 5;

// Not a test of anything: what a group of a size costs a browser, in the worker where it runs.
test("groups", { timeout: 1_200_000 }, async ({ chromium, firefox }) => {
  const workshop = await openWorkshop();
  const rows: string[] = [];
  for (const [kind, browser] of Object.entries({ chromium, firefox })) {
    // What one size leaves in the memory of the module is not counted to the next.
    for (const size of SIZES) {
      await inWorkshop(browser, workshop.url, async (page) => {
        const measured = await page.evaluate(
          (size, repetitions) => (window as unknown as InPage).workshop.groups([size], repetitions),
          size,
          REPETITIONS,
        );
        for (const { costs, memoryBytes } of measured) {
          const steps = [...new Set(Object.keys(costs).map((key) => key.split(": ")[0] ?? ""))];
          for (const step of steps) {
            const who = ["the member who does it", "every other member", "the newcomer"];
            const times = who.map((one) => median(costs[`${step}: ${one}`]));
            const memory = (memoryBytes / 1e6).toFixed(0);
            rows.push(`| ${[size, step, kind, ...times, memory].join(" | ")} |`);
          }
        }
      });
    }
  }
  workshop.close();
  await mkdir(`${root}/target/bench`, { recursive: true });
  await writeFile(`${root}/target/bench/groups.txt`, `${rows.join("\n")}\n`);
  console.log(rows.join("\n"));
});

function median(times: readonly number[] = []): string {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]?.toFixed(1) ?? "–";
}
