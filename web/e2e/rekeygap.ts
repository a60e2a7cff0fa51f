import { mkdir, writeFile } from "node:fs/promises";
import type { CallStats } from "../src/call/stats.ts";
import { setDoor } from "./rig/hosts.ts";
import type { Person } from "./rig/person.ts";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";

const ROUNDS = 8;
const SPAN_MS = 3_000;

// Not a test of anything: how long no frame opens when the keys change, beside how long none does
// when they stay.
test("gaps", { timeout: 1_200_000 }, async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium");
  const call = await ada.startCall(server.url);
  const lines: string[] = [];
  for (const kind of ["chromium", "firefox"] as const) {
    const bob = await enter("Bob", kind);
    await bob.join(call);
    await bob.sees("Ada");
    const gaps: Record<string, number[]> = { none: [], keys: [] };
    for (let round = 0; round < ROUNDS; round += 1) {
      gaps.none?.push(await longestGap(bob, async () => {}));
      // A host's decision changes the keys, and nothing on the page.
      gaps.keys?.push(await longestGap(bob, () => setDoor(ada, round % 2 ? "open" : "lobby")));
    }
    await setDoor(ada, "open");
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

/** The longest time in which no frame of Ada's camera was opened, while something happens. */
async function longestGap(person: Person, happens: () => Promise<void>): Promise<number> {
  const watched = person.page.evaluate(async (span) => {
    const { conclave } = window as unknown as { conclave: { stats(): Promise<CallStats> } };
    const begun = performance.now();
    let [last, count, longest] = [begun, 0, 0];
    while (performance.now() - begun < span) {
      const { tiles } = await conclave.stats();
      const opened = tiles.find(({ name }) => name === "Ada")?.framesOpened ?? count;
      const now = performance.now();
      if (opened !== count) {
        if (count > 0) longest = Math.max(longest, now - last);
        [last, count] = [now, opened];
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return Math.max(longest, performance.now() - last);
  }, SPAN_MS);
  await happens();
  return await watched;
}
