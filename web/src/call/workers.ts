/** The workers that hold the keys, and the page's ends of the lines to them. */
import type {
  FramesCommand,
  FramesEvent,
  FramesReport,
  OpeningCommand,
  OpeningEvent,
  OpeningReport,
  SealingCommand,
  SealingEvent,
  SealingReport,
  SessionCommand,
  SessionEvent,
} from "../crypto/messages";
import type { Source } from "../protocol/Source";
import wasmIntegrity from "../wasm/conclave_e2ee_bg.wasm?integrity";
import wasmUrl from "../wasm/conclave_e2ee_bg.wasm?url";
import { mergeReports, openerOf, openersFor } from "./openers";

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

function openingWorker(number: number): Worker {
  return new Worker(new URL("../crypto/opening.worker.ts", import.meta.url), {
    type: "module",
    name: `opening-${number}`,
  });
}

export class Workers {
  readonly #session = new Worker(new URL("../crypto/session.worker.ts", import.meta.url), {
    type: "module",
    name: "session",
  });
  /** One, whatever the machine: see sealing.worker.ts. */
  readonly sealing = new Worker(new URL("../crypto/sealing.worker.ts", import.meta.url), {
    type: "module",
    name: "sealing",
  });
  readonly #opening = Array.from(
    { length: openersFor(navigator.hardwareConcurrency, crossOriginIsolated) },
    (_, number) => openingWorker(number),
  );
  readonly #reports = new Map<number, (report: SealingReport | OpeningReport) => void>();
  #lastReport = 0;

  constructor(handlers: {
    session(event: SessionEvent): void;
    frames(event: FramesEvent): void;
  }) {
    this.#session.onmessage = ({ data }: MessageEvent<SessionEvent>) => handlers.session(data);
    const broken = { type: "broken", detail: "a worker could not be started" } as const;
    this.#session.onerror = () => handlers.session(broken);
    for (const worker of [this.sealing, ...this.#opening]) {
      worker.onmessage = ({ data }: MessageEvent<SealingEvent | OpeningEvent>) => {
        if (data.type !== "report") return handlers.frames(data);
        this.#reports.get(data.id)?.(data.report);
        this.#reports.delete(data.id);
      };
      worker.onerror = () => handlers.frames(broken);
    }
  }

  /** Hands all of them the module and joins them by channels that the page does not keep. */
  async start(): Promise<void> {
    const module = await prepare();
    const sealing = new MessageChannel();
    const opening = this.#opening.map(() => new MessageChannel());
    const ends = opening.map(({ port1 }) => port1);
    this.#session.postMessage(
      { type: "start", module, sealing: sealing.port1, opening: ends } satisfies SessionCommand,
      [sealing.port1, ...ends],
    );
    this.#tellSealing({ type: "start", module, keys: sealing.port2 }, [sealing.port2]);
    for (const [number, { port2: keys }] of opening.entries()) {
      this.#opening[number]?.postMessage(
        { type: "start", number, module, keys } satisfies OpeningCommand,
        [keys],
      );
    }
  }

  tellSession(command: SessionCommand): void {
    this.#session.postMessage(command);
  }

  /** What concerns all that comes in. */
  tellOpening(command: Exclude<OpeningCommand, { type: "start" }>): void {
    for (const worker of this.#opening) worker.postMessage(command);
  }

  /** What concerns all frames, whichever way they go. */
  tellFrames(command: FramesCommand): void {
    this.#tellSealing(command);
    this.tellOpening(command);
  }

  /** The worker for a receiving slot. */
  openingFor(accepts: Source, index: number): Worker {
    const worker = this.#opening[openerOf(accepts, index, this.#opening.length)];
    if (!worker) throw new Error("there is no worker to open frames");
    return worker;
  }

  /** What all have counted; none when one of them does not answer. */
  async report(): Promise<FramesReport | undefined> {
    const [sealing, ...opening] = await Promise.all([
      this.#ask<SealingReport>(this.sealing),
      ...this.#opening.map((worker) => this.#ask<OpeningReport>(worker)),
    ]);
    return sealing && mergeReports(sealing, opening);
  }

  end(): void {
    for (const worker of [this.#session, this.sealing, ...this.#opening]) worker.terminate();
  }

  #tellSealing(command: SealingCommand, transfer: Transferable[] = []): void {
    this.sealing.postMessage(command, transfer);
  }

  #ask<Report extends SealingReport | OpeningReport>(worker: Worker): Promise<Report | undefined> {
    this.#lastReport += 1;
    const id = this.#lastReport;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#reports.delete(id);
        resolve(undefined);
      }, REPORT_TIMEOUT_MS);
      this.#reports.set(id, (report) => {
        clearTimeout(timer);
        resolve(report as Report);
      });
      worker.postMessage({ type: "report", id });
    });
  }
}
