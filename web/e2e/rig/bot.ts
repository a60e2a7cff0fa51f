import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { root, type Server } from "./server.ts";

/** What a bot reports, as far as these tests look at it. */
export interface Report {
  encryption: { frames_opened: number; failures: number };
}

interface Crowd {
  publishers: number;
  seconds: number;
  name: string;
}

/** Bots as a load test usually has them, or as a file beside this one describes them. */
type Wanted = Crowd & ({ subscribers: number } | { scenario: "cameras.toml" });

/** Bots of the load test in a call. */
export class Bots {
  private readonly process: ChildProcess;
  /** What they have to tell when they are done. */
  readonly report: Promise<Report>;

  /** Lets them into an existing call. They publish the recording that scripts/media.sh makes. */
  constructor(server: Server, link: string, wanted: Wanted) {
    this.process = spawn(
      `${root}/target/debug/conclave-loadtest`,
      [
        "run",
        ...["--server", server.url],
        ...["--publishers", String(wanted.publishers)],
        ...["--duration", `${wanted.seconds}s`],
        ...["--video", `${root}/target/media/camera.ivf`],
        ...["--audio", `${root}/target/media/voice.ogg`],
        ...("scenario" in wanted
          ? ["--scenario", `${import.meta.dirname}/${wanted.scenario}`]
          : ["--subscribers", String(wanted.subscribers)]),
        ...["--name", wanted.name],
        // Two browsers share the machine, so bots are late; these runs measure no latency.
        ...["--lateness-bound", "10s"],
        ...["--json", "-"],
      ],
      // Other users of a machine can read a command line; not so an environment.
      { env: { ...process.env, CONCLAVE_LINK: link } },
    );
    let said = "";
    let log = "";
    this.process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    this.process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      log += text;
    });
    this.report = once(this.process, "close").then(([status]) => {
      if (status !== 0) throw new Error(`The bots ended with ${status}:\n${log}`);
      return JSON.parse(said) as Report;
    });
    // Whoever awaits it hears of a failure; until then another one may be the reason.
    this.report.catch(() => undefined);
  }

  /** Something that needs them there: when they fail, so does it, and says why. */
  async during<T>(story: Promise<T>): Promise<T> {
    const left = this.report.then(() => {
      throw new Error("The bots left before their time.");
    });
    return await Promise.race([story, left]);
  }

  /** Calls them out before their time. */
  stop(): void {
    this.process.kill("SIGINT");
  }
}
