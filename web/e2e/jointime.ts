import { writeFile } from "node:fs/promises";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";

const ROUNDS = 7;

// Not a test of anything: from pressing "Join" to the first decoded picture of someone else.
test("join time", { timeout: 300_000 }, async ({ enter, server }) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const lines: string[] = [];
  for (const kind of ["chromium", "firefox"] as const) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const guest = await enter(`Guest ${round}`, kind);
      await guest.join(link);
      await guest.sees("Ada");
      times.push(
        await guest.page.evaluate(async () => {
          const { conclave } = window as unknown as {
            conclave: { stats(): Promise<{ joinToFirstFrameMs: number }> };
          };
          return Math.round((await conclave.stats()).joinToFirstFrameMs);
        }),
      );
      await guest.goAway();
    }
    times.sort((a, b) => a - b);
    lines.push(
      `${kind}: median ${times[(ROUNDS - 1) / 2]} ms, ${times[0]} to ${times.at(-1)} ms, ${ROUNDS} joins`,
    );
  }
  await writeFile(`${root}/target/bench/join-time.txt`, `${lines.join("\n")}\n`);
  console.log(lines.join("\n"));
});
