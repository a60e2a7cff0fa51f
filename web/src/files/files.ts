/**
 * The files of a call, as the page knows them: which are on their way, and what becomes of them.
 * Sealing, opening, sending and fetching happen in a worker.
 */
import { batch, signal } from "@preact/signals";
import type { SharedFile } from "../protocol/SharedFile";
import type { FilesCommand, FilesEvent } from "./messages";
import { fitName } from "./names";
import { asPicture, looksLikePicture } from "./pictures";
import { IN_MEMORY } from "./sinks";
import { drawKey } from "./stream";
import { tidyAfterCall } from "./tidying";
import { Transfer } from "./transfer";
import { isFinal, type Trouble } from "./trouble";
import { forgetUnfinished, keep, type Unfinished, unfinishedIn } from "./unfinished";

/** How long until an announcement is made again that did not come back. */
const ANNOUNCED_AGAIN_MS = 5_000;

/** Lets the person say where a file goes, and may ask them again later (File System Access). */
type Picker = (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;
type Asking = FileSystemFileHandle & {
  requestPermission?(options: { mode: "readwrite" }): Promise<PermissionState>;
};

export class Files {
  /** All of this call, in the order in which they began. */
  readonly transfers = signal<readonly Transfer[]>([]);
  readonly #room: string;
  readonly #share: (file: SharedFile) => void;
  readonly #worker = new Worker(new URL("./files.worker.ts", import.meta.url), {
    type: "module",
    name: "files",
  });
  readonly #urls = new Set<string>();
  #last = 0;
  #isLive = false;
  #sought = false;
  readonly #announcing: ReturnType<typeof setInterval>;

  constructor(room: string, share: (file: SharedFile) => void) {
    this.#room = room;
    this.#share = share;
    this.#worker.onmessage = ({ data }: MessageEvent<FilesEvent>) => this.#hear(data);
    this.#announcing = setInterval(() => this.#announce(), ANNOUNCED_AGAIN_MS);
  }

  /** The server knows us by this, from now on. */
  setToken(token: string | undefined): void {
    this.#tell({ type: "token", token });
  }

  /** We are in the call, or are not. */
  setLive(live: boolean): void {
    this.#isLive = live;
    if (live) this.#announce();
    if (live && !this.#sought) void this.#seekUnfinished();
  }

  /** Sends files to everyone. */
  send(files: Iterable<File>): void {
    for (const content of files) {
      const { size, type: kind } = content;
      const name = fitName(content.name);
      const file = { id: "", key: drawKey(), size, name, kind: kind.slice(0, 255) };
      const transfer = this.#add("up", file);
      transfer.content.value = content;
      transfer.modified = content.lastModified;
      this.#run(transfer);
    }
  }

  /** Fetches a file. `isWanted`: to be saved as well. */
  async take(file: SharedFile, isWanted = true): Promise<void> {
    const known = this.of(file.id);
    if (known) {
      known.isWanted = isWanted;
      if (known.content.value) this.save(known);
      else await this.resume(known);
      return;
    }
    const place = isWanted ? await placeFor(file) : undefined;
    if (place === "nowhere") return;
    const transfer = this.#add("down", file);
    transfer.isWanted = isWanted;
    transfer.place = place;
    this.#run(transfer);
  }

  /** Somebody has sent a file; small pictures are fetched at once. */
  announced(file: SharedFile, isOwn: boolean): void {
    const known = this.of(file.id);
    if (isOwn && known) {
      known.stage.value = "done";
      void forgetUnfinished(file.id);
      void this.#show(known);
    } else if (!known && looksLikePicture(file.kind, file.size)) {
      void this.take(file, false);
    }
  }

  /** How it stands with a file that was announced. */
  of(id: string): Transfer | undefined {
    return this.transfers.value.find(({ file }) => file.id === id);
  }

  pause(transfer: Transfer): void {
    transfer.stage.value = "paused";
    this.#tell({ type: "pause", transfer: transfer.number });
  }

  async resume(transfer: Transfer): Promise<void> {
    const rests = () => ["paused", "failed"].includes(transfer.stage.value);
    // The browser asks again when the page was loaded anew, and takes a moment for it.
    if (!rests() || !(await mayWrite(transfer.place)) || !rests()) return;
    transfer.trouble.value = undefined;
    this.#run(transfer);
  }

  /**
   * Goes on with a file that had to be chosen again. False if that is plainly another one; what is in
   * it is looked at before any of it is sent.
   */
  choose(transfer: Transfer, content: File): boolean {
    const { file, modified } = transfer;
    if (fitName(content.name) !== file.name) return false;
    if (content.size !== file.size || content.lastModified !== modified) return false;
    transfer.content.value = content;
    this.#run(transfer);
    return true;
  }

  cancel(transfer: Transfer): void {
    const { number, direction, file } = transfer;
    this.#tell({ type: "cancel", transfer: number, direction, file });
    this.transfers.value = this.transfers.value.filter((one) => one !== transfer);
  }

  /** Saves what was received, by the browser's own way. */
  save({ content, file }: Transfer): void {
    if (!content.value) return;
    const link = document.createElement("a");
    link.href = this.#url(content.value);
    link.download = file.name;
    link.click();
  }

  /** True while something would be lost with the page. */
  get isBusy(): boolean {
    return this.transfers.value.some(({ stage }) =>
      ["running", "waiting", "announcing"].includes(stage.value),
    );
  }

  end(): void {
    clearInterval(this.#announcing);
    this.#worker.terminate();
    for (const url of this.#urls) URL.revokeObjectURL(url);
    this.#urls.clear();
    tidyAfterCall();
  }

  #add(direction: "up" | "down", file: SharedFile): Transfer {
    this.#last += 1;
    const transfer = new Transfer(this.#last, direction, file, "running");
    this.transfers.value = [...this.transfers.value, transfer];
    return transfer;
  }

  #run(transfer: Transfer): void {
    const { number, direction, file, content, place, modified } = transfer;
    transfer.stage.value = "running";
    if (direction === "down") {
      this.#tell({ type: "download", transfer: number, file, place });
      this.#keep(transfer);
    } else if (content.value) {
      const sending = { file, content: content.value, room: this.#room, modified };
      this.#tell({ type: "upload", transfer: number, ...sending });
    }
  }

  #hear(event: FilesEvent): void {
    const transfer = this.transfers.value.find(({ number }) => number === event.transfer);
    if (!transfer) return;
    const { stage } = transfer;
    switch (event.type) {
      case "declared":
        transfer.file = { ...transfer.file, id: event.id };
        break;
      case "progress":
        transfer.bytes.value = event.bytes;
        break;
      case "waiting":
        if (["running", "waiting"].includes(stage.value)) {
          stage.value = event.awaited ? "waiting" : "running";
          transfer.awaited.value = event.awaited;
        }
        break;
      case "done":
        this.#finish(transfer, event.content);
        break;
      case "failed":
        this.#fail(transfer, event.trouble);
        break;
    }
  }

  #finish(transfer: Transfer, content: Blob | undefined): void {
    if (transfer.direction === "up") {
      transfer.stage.value = "announcing";
      this.#announce();
      return;
    }
    batch(() => {
      transfer.stage.value = "done";
      transfer.content.value = content;
    });
    void forgetUnfinished(transfer.file.id);
    if (transfer.isWanted) this.save(transfer);
    void this.#show(transfer);
  }

  #fail(transfer: Transfer, trouble: Trouble): void {
    batch(() => {
      transfer.stage.value = "failed";
      transfer.trouble.value = trouble;
    });
    if (!isFinal(trouble)) return;
    void forgetUnfinished(transfer.file.id);
    if (transfer.direction === "up") {
      transfer.file = { ...transfer.file, id: "", key: drawKey() };
    }
  }

  /** What was announced comes back as a line of the chat; until then it may have been lost. */
  #announce(): void {
    if (!this.#isLive) return;
    for (const { stage, file } of this.transfers.value) {
      if (stage.value === "announcing") this.#share(file);
    }
  }

  async #show(transfer: Transfer): Promise<void> {
    const { content } = transfer;
    const picture = content.value && (await asPicture(content.value).catch(() => undefined));
    if (picture) transfer.picture.value = this.#url(picture);
  }

  #url(blob: Blob): string {
    const url = URL.createObjectURL(blob);
    this.#urls.add(url);
    return url;
  }

  /** Of what is sent the worker keeps what is needed, before it sends any of it. */
  #keep({ file, direction, place, isWanted }: Transfer): void {
    if (!isWanted) return;
    const { id } = file;
    const none = { modified: undefined, content: undefined };
    void keep({ id, room: this.#room, direction, file, ...none, place, at: Date.now() });
  }

  /** Shows what was on its way when the page ended; the person says whether it goes on. */
  async #seekUnfinished(): Promise<void> {
    this.#sought = true;
    const found = await unfinishedIn(this.#room);
    const news = found.filter(({ id }) => !this.of(id)).map((one) => this.#revive(one));
    if (news.length > 0) this.transfers.value = [...news, ...this.transfers.value];
  }

  #revive({ direction, file, modified, content, place }: Unfinished): Transfer {
    this.#last += 1;
    const stage = direction === "up" && !content ? "lost" : "paused";
    const transfer = new Transfer(this.#last, direction, file, stage, true);
    transfer.modified = modified;
    transfer.content.value = content;
    transfer.place = place;
    return transfer;
  }

  #tell(command: FilesCommand): void {
    this.#worker.postMessage(command);
  }
}

/**
 * Where a file is to go that the browser's own file system has no room for: the person is asked, where
 * that can be done. "nowhere" if they do not want it after all.
 */
async function placeFor(file: SharedFile): Promise<FileSystemFileHandle | "nowhere" | undefined> {
  const pick = (window as { showSaveFilePicker?: Picker }).showSaveFilePicker;
  if (!pick || file.size <= IN_MEMORY) return undefined;
  const room = await navigator.storage?.estimate?.().catch(() => undefined);
  const free = (room?.quota ?? 0) - (room?.usage ?? 0);
  if (room && free > file.size) return undefined;
  return pick({ suggestedName: file.name }).catch(() => "nowhere" as const);
}

async function mayWrite(place: Asking | undefined): Promise<boolean> {
  const answer = await place?.requestPermission?.({ mode: "readwrite" }).catch(() => "denied");
  return answer === undefined || answer === "granted";
}
