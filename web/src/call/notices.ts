/** Short messages that tell what happened, and go away by themselves. */
import { signal } from "@preact/signals";

export type NoticeKind = "joined" | "left" | "warning" | "info";

export interface Notice {
  readonly id: number;
  readonly kind: NoticeKind;
  readonly text: string;
}

const SHORT_MS = 5_000;
/** Warnings are read, not just noticed. */
const LONG_MS = 15_000;
const MOST = 4;

export class Notices {
  readonly list = signal<readonly Notice[]>([]);
  #last = 0;

  say(kind: NoticeKind, text: string): void {
    this.#last += 1;
    const notice: Notice = { id: this.#last, kind, text };
    const others = this.list.value.filter((shown) => shown.text !== text);
    this.list.value = [...others, notice].slice(-MOST);
    setTimeout(() => this.dismiss(notice.id), kind === "warning" ? LONG_MS : SHORT_MS);
  }

  dismiss(id: number): void {
    this.list.value = this.list.value.filter((notice) => notice.id !== id);
  }
}
