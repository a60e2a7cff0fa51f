/** The lines of text in a call. They are gone when the call is over. */
import { computed, signal } from "@preact/signals";
import type { SharedFile } from "../protocol/SharedFile";

export interface ChatLine {
  readonly name: string;
  readonly text: string;
  /** A file that was sent, instead of a text. */
  readonly file?: SharedFile;
  readonly self: boolean;
  /** When it arrived here. */
  readonly at: number;
}

export class Chat {
  readonly lines = signal<readonly ChatLine[]>([]);
  /** True while the person can see the lines. */
  readonly open = signal(false);
  readonly unread = computed(() =>
    this.open.value ? 0 : this.lines.value.length - this.#read.value,
  );
  readonly #read = signal(0);

  add(line: ChatLine): void {
    this.lines.value = [...this.lines.value, line];
    if (this.open.value) this.#read.value = this.lines.value.length;
  }

  setOpen(open: boolean): void {
    this.#read.value = this.lines.value.length;
    this.open.value = open;
  }
}
