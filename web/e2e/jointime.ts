import { writeFile } from "node:fs/promises";
import { PAGE_SIZES } from "../src/call/pages.ts";
import type { Kind } from "./rig/browsers.ts";
import { root } from "./rig/server.ts";
import { type Enter, test } from "./rig/test.ts";

const ROUNDS = 7;

// Not a test of anything: from pressing "Join" to the first decoded picture of someone else, by
// how many cameras the guest is ready to receive.
test("join time", { timeout: 600_000 }, async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const lines: string[] = [];
  for (const kind of ["chromium", "firefox"] as const) {
    for (const tiles of PAGE_SIZES) {
      const times: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        times.push(await joinTime(enter, kind, tiles, link));
      }
      times.sort((a, b) => a - b);
      lines.push(
        `${kind}, ${tiles} cameras: median ${times[(ROUNDS - 1) / 2]} ms, ${times[0]} to ${times.at(-1)} ms, ${ROUNDS} joins`,
      );
    }
  }
  await writeFile(`${root}/target/bench/join-time.txt`, `${lines.join("\n")}\n`);
  console.log(lines.join("\n"));
});

async function joinTime(
  enter: Enter,
  kind: Kind,
  tiles: (typeof PAGE_SIZES)[number],
  link: string,
): Promise<number> {
  const guest = await enter("Guest", kind, { tiles });
  await guest.join(link);
  await guest.sees("Ada");
  const { joinToFirstFrameMs } = await guest.stats();
  await guest.goAway();
  if (joinToFirstFrameMs === null) throw new Error("The page has not seen what was seen on it");
  return joinToFirstFrameMs;
}
