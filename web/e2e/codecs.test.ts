import { expect } from "vitest";
import type { Kind } from "./rig/browsers.ts";
import type { Person } from "./rig/person.ts";
import { test } from "./rig/test.ts";

const cases: [codec: string, first: Kind, second: Kind][] = [
  ["VP9", "chromium", "firefox"],
  ["AV1", "chromium", "firefox"],
  // Firefox ESR has it from a plugin that is not in the package.
  ["H264", "chromium", "chromium"],
];

for (const [codec, first, second] of cases) {
  test(`${codec} passes encrypted between ${first} and ${second}`, async ({ enter, server }) => {
    const ada = await enter("Ada", first, { codec });
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", second, { codec });
    await bob.join(link);

    await ada.sees("Bob");
    await bob.sees("Ada");
    for (const person of [ada, bob]) expect(await codecsOf(person)).toEqual([`video/${codec}`]);
  });
}

/** The video codecs in use, by the browser's own statistics. */
function codecsOf(person: Person): Promise<string[]> {
  return person.ask(async (connections) => {
    const found = new Set<string>();
    for (const connection of connections) {
      const reports = [...(await connection.getStats()).values()];
      for (const stream of reports) {
        if (stream.type !== "inbound-rtp" || stream.kind !== "video" || !stream.framesDecoded) {
          continue;
        }
        const codec = reports.find((report) => report.id === stream.codecId);
        found.add(codec?.mimeType);
      }
    }
    return [...found];
  });
}
