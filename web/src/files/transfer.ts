/** One file on its way, as the page shows it. */
import { type Signal, signal } from "@preact/signals";
import type { SharedFile } from "../protocol/SharedFile";
import type { Awaited, Trouble } from "./trouble";

export type Stage =
  | "running"
  /** Something is gone for now. It goes on by itself. */
  | "waiting"
  | "paused"
  /** It was on its way when the page ended, and its content has to be chosen again. */
  | "lost"
  /** It is stored; the others are about to hear of it. */
  | "announcing"
  | "done"
  | "failed";

export class Transfer {
  readonly stage: Signal<Stage>;
  readonly trouble = signal<Trouble | undefined>(undefined);
  /** What it waits for, while it does. */
  readonly awaited = signal<Awaited | undefined>(undefined);
  /** Bytes of content that are through. */
  readonly bytes = signal(0);
  /** What there is to look at. */
  readonly picture = signal<string | undefined>(undefined);
  /** Its content, when it is here. */
  readonly content = signal<Blob | undefined>(undefined);
  /** Of a file on its way up: when it was last changed. */
  modified: number | undefined;
  /** Of a file on its way down: where the person wants it, if they were asked. */
  place: FileSystemFileHandle | undefined;
  /** The person asked for it, and wants it saved when it is here. */
  isWanted = true;

  constructor(
    readonly number: number,
    readonly direction: "up" | "down",
    /** Its `id` is empty until the server has given one. */
    public file: SharedFile,
    stage: Stage,
    /** From before the page was loaded anew: no line of the chat tells of it. */
    readonly isOld = false,
  ) {
    this.stage = signal(stage);
  }
}
