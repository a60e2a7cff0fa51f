/** The two workers that hold the keys, and the page's ends of the lines to them. */
import type {
  FramesCommand,
  FramesEvent,
  FramesReport,
  SessionCommand,
  SessionEvent,
} from "../crypto/messages";
import wasmIntegrity from "../wasm/conclave_e2ee_bg.wasm?integrity";
import wasmUrl from "../wasm/conclave_e2ee_bg.wasm?url";

/** How long a worker may take to count its frames. */
const REPORT_TIMEOUT_MS = 2_000;

/** The module is compiled once, as soon as the page knows that there will be a call. */
let module: Promise<WebAssembly.Module> | undefined;

export function prepare(): Promise<WebAssembly.Module> {
  // The browser takes no other module than the one that this page was built with.
  const response = () => fetch(wasmUrl, { integrity: wasmIntegrity });
  module ??= WebAssembly.compileStreaming(response()).catch((error: unknown) => {
    module = undefined;
    throw error;
  });
  return module;
}

export class Workers {
  readonly session = new Worker(new URL("../crypto/session.worker.ts", import.meta.url), {
    type: "module",
    name: "session",
  });
  readonly frames = new Worker(new URL("../crypto/frames.worker.ts", import.meta.url), {
    type: "module",
    name: "frames",
  });
  readonly #reports = new Map<number, (report: FramesReport) => void>();
  #lastReport = 0;

  constructor(handlers: {
    session(event: SessionEvent): void;
    frames(event: Exclude<FramesEvent, { type: "report" }>): void;
  }) {
    this.session.onmessage = ({ data }: MessageEvent<SessionEvent>) => handlers.session(data);
    this.frames.onmessage = ({ data }: MessageEvent<FramesEvent>) => {
      if (data.type !== "report") return handlers.frames(data);
      this.#reports.get(data.id)?.(data.report);
      this.#reports.delete(data.id);
    };
    const broken = { type: "broken", detail: "a worker could not be started" } as const;
    this.session.onerror = () => handlers.session(broken);
    this.frames.onerror = () => handlers.frames(broken);
  }

  /** Hands both workers the module and joins them by a channel that the page does not keep. */
  async start(): Promise<void> {
    const module = await prepare();
    const keys = new MessageChannel();
    this.tellSession({ type: "start", module, keys: keys.port1 }, [keys.port1]);
    this.tellFrames({ type: "start", module, keys: keys.port2 }, [keys.port2]);
  }

  tellSession(command: SessionCommand, transfer: Transferable[] = []): void {
    this.session.postMessage(command, transfer);
  }

  tellFrames(command: FramesCommand, transfer: Transferable[] = []): void {
    this.frames.postMessage(command, transfer);
  }

  /** What the frames worker has counted; none when it does not answer. */
  report(): Promise<FramesReport | undefined> {
    this.#lastReport += 1;
    const id = this.#lastReport;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#reports.delete(id);
        resolve(undefined);
      }, REPORT_TIMEOUT_MS);
      this.#reports.set(id, (report) => {
        clearTimeout(timer);
        resolve(report);
      });
      this.tellFrames({ type: "report", id });
    });
  }

  end(): void {
    this.session.terminate();
    this.frames.terminate();
  }
}
