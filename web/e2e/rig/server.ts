import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";

/** The root of the repository. */
export const root = resolve(import.meta.dirname, "../../..");

/** The address that media goes through: Firefox pairs no loopback candidates. */
export const mediaAddress = process.env.CONCLAVE_TEST_ADDRESS ?? "";
if (!mediaAddress) {
  throw new Error(
    "The browser tests need a network of their own: use `make test-browsers`, or scripts/netns.sh.",
  );
}

/** A running server, built in the dev profile. */
export class Server {
  /** Pages need a secure context to reach a camera, which http://localhost is. */
  readonly url = "http://localhost:8080";
  /** Everything that it wrote, to either stream. */
  log = "";

  private constructor(private readonly process: ChildProcess) {
    for (const stream of [process.stdout, process.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.log += text;
      });
    }
  }

  static async start(): Promise<Server> {
    const server = new Server(
      spawn(
        `${root}/target/debug/conclave`,
        ["--listen", "127.0.0.1:8080", "--media-port", "3478"],
        {
          cwd: root,
          stdio: ["ignore", "pipe", "pipe"],
          env: { ...process.env, RUST_LOG: "info,conclave_signalling=trace,conclave_sfu=trace" },
        },
      ),
    );
    const deadline = Date.now() + 15_000;
    for (;;) {
      const ready = await fetch(`${server.url}/readyz`).catch(() => undefined);
      if (ready?.ok) return server;
      if (server.process.exitCode !== null || Date.now() > deadline) {
        throw new Error(`The server did not become ready:\n${server.log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** The value of one of its metrics, summed over labels. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return text
      .split("\n")
      .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  /** Ends it as Ctrl-C would, and returns its exit status. */
  async stop(): Promise<number | null> {
    if (this.process.exitCode === null) {
      const exit = once(this.process, "exit");
      this.process.kill("SIGINT");
      await exit;
    }
    return this.process.exitCode;
  }
}
