import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { root, type Server } from "./server.ts";

const run = promisify(execFile);

/** What a bot reports, as far as these tests look at it. */
export interface Report {
  frames_opened: number;
  decrypt_failures: number;
}

/** Lets the load test's bots into an existing call. They publish the recording that
 * scripts/media.sh makes. */
export async function bots(
  server: Server,
  link: string,
  wanted: { publishers: number; subscribers: number; seconds: number; name: string },
): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), "conclave-bots-"));
  try {
    const report = join(folder, "report.json");
    await run(
      `${root}/target/debug/conclave-loadtest`,
      [
        "run",
        ...["--server", server.url],
        ...["--publishers", String(wanted.publishers)],
        ...["--subscribers", String(wanted.subscribers)],
        ...["--duration", `${wanted.seconds}s`],
        ...["--video", `${root}/target/media/camera.ivf`],
        ...["--audio", `${root}/target/media/voice.ogg`],
        ...["--name", wanted.name],
        ...["--json", report],
      ],
      // Other users of a machine can read a command line; not so an environment.
      { env: { ...process.env, CONCLAVE_LINK: link } },
    );
    return JSON.parse(await readFile(report, "utf8")) as Report;
  } finally {
    await rm(folder, { recursive: true });
  }
}
