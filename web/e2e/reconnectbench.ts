import { mkdir, writeFile } from "node:fs/promises";
import { breakLines, withAnotherAddress, withoutNetwork } from "./rig/network.ts";
import type { Person } from "./rig/person.ts";
import { root, type Server } from "./rig/server.ts";
import { test } from "./rig/test.ts";

const ROUNDS = 5;

type Cause = (server: Server, restored: () => void) => Promise<void>;

/** What breaks a call, and when it is whole again. */
const CAUSES: Record<string, Cause> = {
  "the line is cut": async (_, restored) => {
    await breakLines();
    restored();
  },
  "the server is killed and starts again": async (server, restored) => {
    await server.dieAndReturn();
    restored();
  },
  "no network for three seconds": async (_, restored) => {
    await withoutNetwork(() => rest(3_000));
    restored();
  },
};

const rest = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

// Not a test of anything: how long it takes until pictures move again, once they could.
test("times", { timeout: 1_800_000 }, async ({ enter, server }) => {
  const lines: string[] = [];
  for (const kind of ["chromium", "firefox"] as const) {
    const ada = await enter("Ada", "chromium");
    const call = await ada.startCall(server.url);
    const bob = await enter("Bob", kind);
    await bob.join(call);
    await bob.sees("Ada");
    for (const [cause, happen] of Object.entries(CAUSES)) {
      const times: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        times.push(await timeToPicture(bob, (restored) => happen(server, restored)));
        await rest(2_000);
      }
      lines.push(summary(kind, cause, times));
      console.log(lines.at(-1));
    }
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const moved = (restored: () => void, moving: Promise<number>) =>
        withAnotherAddress(async () => {
          restored();
          await moving;
        });
      times.push(await timeToPictureIn(bob, moved));
      await bob.sees("Ada");
    }
    lines.push(summary(kind, "the address is another", times));
    console.log(lines.at(-1));
    await bob.press("Leave");
    await ada.press("Leave");
  }
  await mkdir(`${root}/target/bench`, { recursive: true });
  await writeFile(`${root}/target/bench/reconnect.txt`, `${lines.join("\n")}\n`);
  console.log(lines.join("\n"));
});

function summary(kind: string, cause: string, times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const half = sorted[Math.floor(sorted.length / 2)];
  return `${kind}, ${cause}: p50 ${half} ms, max ${sorted.at(-1)} ms of ${sorted.length}`;
}

function timeToPicture(
  person: Person,
  happens: (restored: () => void) => Promise<void>,
): Promise<number> {
  return timeToPictureIn(person, (restored) => happens(restored));
}

/** From when things could go on until new frames of Ada's camera are decoded. */
async function timeToPictureIn(
  person: Person,
  happens: (restored: () => void, moving: Promise<number>) => Promise<void>,
): Promise<number> {
  let restore = () => {};
  const restored = new Promise<number>((resolve) => {
    restore = () => resolve(performance.now());
  });
  const moving = restored.then(async (since) => {
    let [last, grown] = [await decoded(person), 0];
    // Twice in a row: what was still in the pipe does not count.
    for (;;) {
      await rest(20);
      const now = await decoded(person);
      grown = now > last ? grown + 1 : now < last ? 0 : grown;
      last = now;
      if (grown >= 2) return Math.round(performance.now() - since);
    }
  });
  await happens(restore, moving);
  return moving;
}

async function decoded(person: Person): Promise<number> {
  // Firefox may owe the statistics of a connection that is closed meanwhile for ever.
  const stats = await Promise.race([person.stats(), rest(500)]);
  const tiles = stats?.tiles ?? [];
  return tiles.find(({ name }) => name === "Ada")?.framesDecoded ?? 0;
}
