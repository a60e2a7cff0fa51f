/** The worker in which files are sealed and opened, sent and fetched. */
import { Download } from "./download";
import type { FilesCommand, FilesEvent } from "./messages";
import { discard } from "./received";
import { forget } from "./server";
import { Tampered } from "./stream";
import { type Awaited, isFinal, Stuck, type Trouble } from "./trouble";
import { forgetUnfinished } from "./unfinished";
import { type Report, Upload } from "./upload";

type Cancel = Extract<FilesCommand, { type: "cancel" }>;

let token: string | undefined;
const running = new Map<number, AbortController>();
/** What is known of those that are not through, while they are paused as well. */
const uploads = new Map<number, Upload>();
const downloads = new Map<number, Download>();
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
    });
    drop(transfer);
    tell({ type: "done", transfer, content });
  } catch (error) {
    if (signal.aborted) return;
    const trouble = troubleOf(error);
    if (isFinal(trouble)) drop(transfer);
    tell({ type: "failed", transfer, trouble });
  }
}

function drop(transfer: number): void {
  uploads.delete(transfer);
  downloads.delete(transfer);
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

async function cancel({ transfer, direction, file }: Cancel): Promise<void> {
  stop(transfer);
  const upload = uploads.get(transfer);
  const download = downloads.get(transfer);
  // It may have been declared a moment ago.
  const id = upload?.id ?? file.id;
  if (direction === "up" && id) forget(() => token, id);
  await ending.get(transfer);
  ending.delete(transfer);
  drop(transfer);
  if (direction === "down") await (download?.discard() ?? discard(file));
  await forgetUnfinished(upload?.id ?? id);
}

self.onmessage = ({ data: command }: MessageEvent<FilesCommand>) => {
  switch (command.type) {
    case "token":
      token = command.token;
      break;
    case "upload": {
      const { transfer } = command;
      const upload = uploads.get(transfer) ?? new Upload(() => token, command);
      uploads.set(transfer, upload);
      begin(transfer, async (signal, report) => {
        await upload.run({ signal, waits: waitingOf(transfer) }, report);
        return undefined;
      });
      break;
    }
    case "download": {
      const { transfer, file, place } = command;
      const download = downloads.get(transfer) ?? new Download(() => token, file, place);
      downloads.set(transfer, download);
      begin(transfer, (signal, report) =>
        download.run({ signal, waits: waitingOf(transfer) }, report.progress),
      );
      break;
    }
    case "pause":
      stop(command.transfer);
      break;
    case "cancel":
      void cancel(command);
      break;
  }
};
