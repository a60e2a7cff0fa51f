import { mkdir, writeFile } from "node:fs/promises";
import type { Person } from "./rig/person.ts";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";

const ROUNDS = 8;
const SPAN_MS = 4_000;

// Not a test of anything: how long a picture stands still when the keys change, beside how long it
// does when they do not.
test("gaps", { timeout: 1_200_000 }, async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium");
  const call = await ada.startCall(server.url);
  const lines: string[] = [];
  for (const kind of ["chromium", "firefox"] as const) {
    const bob = await enter("Bob", kind);
    await bob.join(call);
    await bob.sees("Ada");
    const other = await enter("Cyd", "chromium");
    const gaps: Record<string, number[]> = { none: [], joins: [], leaves: [] };
    for (let round = 0; round < ROUNDS; round += 1) {
      gaps.none?.push(await longestGap(bob, async () => {}));
      await other.page.goto("about:blank");
      gaps.joins?.push(await longestGap(bob, () => other.join(call)));
      gaps.leaves?.push(await longestGap(bob, () => other.press("Leave")));
    }
    for (const [what, times] of Object.entries(gaps)) {
      const sorted = times.sort((a, b) => a - b);
      const half = sorted[Math.floor(sorted.length / 2)] ?? 0;
      lines.push(
        `${kind}, ${what}: p50 ${half.toFixed(0)} ms, max ${sorted.at(-1)?.toFixed(0)} ms`,
      );
    }
    await bob.press("Leave");
  }
  await mkdir(`${root}/target/bench`, { recursive: true });
  await writeFile(`${root}/target/bench/rekey.txt`, `${lines.join("\n")}\n`);
  console.log(lines.join("\n"));
});

/** The longest time between two pictures of Ada's that were shown, while something happens. */
async function longestGap(person: Person, happens: () => Promise<void>): Promise<number> {
  const watched = person.page.evaluate(async (span) => {
    const video = document.querySelector<HTMLVideoElement>('[data-name="Ada"] video');
    if (!video) throw new Error("Ada has no picture");
    const times: number[] = [];
    const note = (): void => {
      times.push(performance.now());
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
    await new Promise((resolve) => setTimeout(resolve, span));
    const end = performance.now();
    return Math.max(...times.map((time, at) => (times[at + 1] ?? end) - time));
  }, SPAN_MS);
  await happens();
  return await watched;
}
