import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { promisify } from "node:util";

/** The root of the repository. */
export const root = resolve(import.meta.dirname, "../../..");

/** The address that media goes through: Firefox pairs no loopback candidates. */
export const mediaAddress = process.env.CONCLAVE_TEST_ADDRESS ?? "";
if (!mediaAddress) {
  throw new Error(
    "The browser tests need a network of their own: use `make test-browsers`, or scripts/netns.sh.",
  );
}

const program = `${root}/target/${process.env.CONCLAVE_PROFILE ?? "debug"}/conclave`;

/** What the operators' API answered. */
export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for
  body: any;
}

/** A running server, built in the dev profile unless another is named. */
export class Server {
  /** Pages need a secure context to reach a camera, which http://localhost is. */
  readonly url = "http://localhost:8080";
  /** Everything that it wrote, to either stream. */
  log = "";

  private process: ChildProcess;
  private key: string | undefined;

  private constructor(private readonly data: string) {
    this.process = this.run();
  }

  static async start(): Promise<Server> {
    const server = new Server(await mkdtemp(`${tmpdir()}/conclave-`));
    await server.isReady();
    return server;
  }

  private run(): ChildProcess {
    const place = ["--listen", "127.0.0.1:8080", "--media-port", "3478", "--data", this.data];
    const child = spawn(program, place, {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, RUST_LOG: "info,conclave_signalling=trace,conclave_sfu=trace" },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.log += text;
      });
    }
    return child;
  }

  private async isReady(): Promise<void> {
    const deadline = Date.now() + 15_000;
    for (;;) {
      const ready = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (ready?.ok) return;
      if (this.process.exitCode !== null || Date.now() > deadline) {
        throw new Error(`The server did not become ready:\n${this.log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Kills it, which leaves it no time for anything, and starts it again with what it kept. */
  async dieAndReturn(): Promise<void> {
    const exit = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await exit;
    this.process = this.run();
    await this.isReady();
  }

  /** Asks over the operators' API, with a key for everything. */
  async operate(method: string, path: string, body?: object): Promise<Answer> {
    this.key ??= await this.makeKey();
    const response = await fetch(`${this.url}/api/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${this.key}`, "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
  }

  private async makeKey(): Promise<string> {
    const scopes = "create,invite,moderate,observe,operate";
    const make = ["key", "create", "--data", this.data, "--name", "tests", "--scopes", scopes];
    const { stdout } = await promisify(execFile)(program, make);
    return stdout.trim();
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
    await rm(this.data, { recursive: true, force: true });
    return this.process.exitCode;
  }
}
