/** The worker in which files are sealed and opened, sent and fetched. */
import type { FilesCommand, FilesEvent } from "./messages";
import { forget } from "./server";
import { discard, tidy } from "./sinks";
import { Tampered } from "./stream";
import { download, type Report, upload } from "./transfers";
import { type Awaited, Stuck, type Trouble } from "./trouble";

type Cancel = Extract<FilesCommand, { type: "cancel" }>;

let token: string | undefined;
const running = new Map<number, AbortController>();
/** A transfer that is stopped takes a moment to let go of its file. */
const ending = new Map<number, Promise<void>>();

const tell = (event: FilesEvent): void => self.postMessage(event);

function troubleOf(error: unknown): Trouble {
  if (error instanceof Stuck) return error.trouble;
  return error instanceof Tampered ? "tampered" : "broken";
}

/** Not more often than anybody can see: each time a page is drawn anew. */
const PROGRESS_EVERY_MS = 200;

function seldom(tellProgress: (bytes: number) => void): (bytes: number) => void {
  let told = Number.NEGATIVE_INFINITY;
  return (bytes) => {
    const now = performance.now();
    if (now - told < PROGRESS_EVERY_MS) return;
    told = now;
    tellProgress(bytes);
  };
}

const waitingOf = (transfer: number) => (awaited: Awaited | undefined) =>
  tell({ type: "waiting", transfer, awaited });

type Work = (signal: AbortSignal, report: Report) => Promise<Blob | undefined>;

async function run(transfer: number, signal: AbortSignal, work: Work): Promise<void> {
  try {
    const content = await work(signal, {
      declared: (id) => tell({ type: "declared", transfer, id }),
      progress: seldom((bytes) => tell({ type: "progress", transfer, bytes })),
      settled: (done) => tell({ type: "settled", transfer, done }),
    });
    tell({ type: "done", transfer, content });
  } catch (error) {
    if (!signal.aborted) tell({ type: "failed", transfer, trouble: troubleOf(error) });
  }
}

/** Begins, or goes on, as soon as what was begun before has let go. */
function begin(transfer: number, work: Work): void {
  stop(transfer);
  const control = new AbortController();
  running.set(transfer, control);
  const before = ending.get(transfer);
  const now = (before ?? Promise.resolve()).then(() => run(transfer, control.signal, work));
  ending.set(transfer, now);
}

function stop(transfer: number): void {
  running.get(transfer)?.abort();
  running.delete(transfer);
}

async function cancel({ transfer, direction, id }: Cancel): Promise<void> {
  stop(transfer);
  if (direction === "up" && id) forget(() => token, id);
  await ending.get(transfer);
  ending.delete(transfer);
  if (direction === "down" && id) await discard(id);
}

self.onmessage = ({ data: command }: MessageEvent<FilesCommand>) => {
  switch (command.type) {
    case "token":
      token = command.token;
      break;
    case "upload": {
      const { transfer, file, key, id } = command;
      begin(transfer, async (signal, report) => {
        const waits = waitingOf(transfer);
        await upload(() => token, file, key, id, { signal, waits }, report);
        return undefined;
      });
      break;
    }
    case "download": {
      const { transfer, file, done, place } = command;
      begin(transfer, (signal, report) => {
        const waits = waitingOf(transfer);
        return download(() => token, file, done, place, { signal, waits }, report);
      });
      break;
    }
    case "pause":
      stop(command.transfer);
      break;
    case "cancel":
      void cancel(command);
      break;
    case "tidy":
      void tidy(command.wanted);
      break;
  }
};
