/** A file on its way up, chunk by chunk, through pauses. Runs in the worker. */
import type { SharedFile } from "../protocol/SharedFile";
import { ahead, type Conditions, inLanes, insist, LANES } from "./lanes";
import { chunksOf, contentOf, numbersIn, type Ranges, sealedLength, sizeOf } from "./layout";
import { browserShelf, digestOf, SealedChunks, type SealedShelf } from "./sealed";
import { declare, forget, progressOf, putChunk, type Token } from "./server";
import { FileStream } from "./stream";
import { Stuck } from "./trouble";
import { keep, type Unfinished } from "./unfinished";

export interface Report {
  declared(id: string): void;
  /** Bytes of content that are through. */
  progress(bytes: number): void;
}

export interface Sending {
  /** Its `id` is empty until the server has given one. */
  readonly file: SharedFile;
  readonly content: Blob;
  readonly room: string;
  readonly modified: number | undefined;
}

/** What outlives the page, so that the next one can go on with a file. */
export interface Kept {
  keep(unfinished: Unfinished): Promise<boolean>;
  readonly sealed: SealedShelf;
}

interface Ready {
  readonly chunk: number;
  readonly sealed: ArrayBuffer;
}

export class Upload {
  readonly #token: Token;
  readonly #sending: Sending;
  readonly #kept: Kept;
  #chunks: SealedChunks | undefined;
  /** It is the file that was begun. */
  #isSure = false;

  constructor(token: Token, sending: Sending, kept: Kept = { keep, sealed: browserShelf }) {
    this.#token = token;
    this.#sending = sending;
    this.#kept = kept;
    const { id } = sending.file;
    // Known from an earlier page: so it was kept, and so was what was sealed.
    if (id) this.#chunks = new SealedChunks(id, kept.sealed);
  }

  /** What the server calls it, if it was declared. */
  get id(): string | undefined {
    return this.#chunks?.file;
  }

  async run(conditions: Conditions, report: Report): Promise<void> {
    try {
      await this.#run(conditions, report);
    } catch (error) {
      const isOfNoUse = error instanceof Stuck && error.trouble === "changed";
      if (isOfNoUse && this.id) forget(this.#token, this.id);
      throw error;
    }
  }

  async #run(conditions: Conditions, report: Report): Promise<void> {
    const { key, size } = this.#sending.file;
    const stream = await FileStream.of(key, size);
    const { chunks, missing } = this.#chunks
      ? await this.#goOn(this.#chunks, conditions, report)
      : await this.#declare(conditions, report);
    let through = size - sizeOf(size, numbersIn(missing));
    report.progress(through);
    const ready = ahead(numbersIn(missing), LANES, (chunk) => this.#seal(stream, chunks, chunk));
    await inLanes(ready, LANES, conditions, async ({ chunk, sealed }, signal) => {
      await putChunk(this.#token, chunks.file, chunk, sealed, signal);
      through += sizeOf(size, [chunk]);
      report.progress(through);
    });
  }

  async #declare(conditions: Conditions, report: Report) {
    const { file, content, room, modified } = this.#sending;
    const bytes = sealedLength(file.size);
    const { signal } = conditions;
    const { id } = await insist(conditions, () => declare(this.#token, bytes, signal));
    const isKept = await this.#kept.keep({
      id,
      room,
      direction: "up",
      file: { ...file, id },
      modified,
      content: content instanceof File ? content : undefined,
      place: undefined,
      at: Date.now(),
    });
    const chunks = new SealedChunks(id, isKept ? this.#kept.sealed : undefined);
    this.#chunks = chunks;
    this.#isSure = true;
    report.declared(id);
    const missing: Ranges = [[0, chunksOf(file.size)]];
    return { chunks, missing };
  }

  async #goOn(chunks: SealedChunks, conditions: Conditions, report: Report) {
    const { signal } = conditions;
    const { missing } = await insist(conditions, () =>
      progressOf(this.#token, chunks.file, signal),
    );
    if (!this.#isSure) await this.#compare(chunks, conditions, report);
    this.#isSure = true;
    return { chunks, missing };
  }

  /**
   * What an earlier page has sealed has to be in the file: it may have been changed since, or be
   * another one of the same name, and nobody wants half of each.
   */
  async #compare(chunks: SealedChunks, conditions: Conditions, report: Report): Promise<void> {
    let same = 0;
    await inLanes(await chunks.recall(), LANES, conditions, async (chunk) => {
      const content = await this.#read(chunk);
      await chunks.note(chunk, await digestOf(content));
      same += content.byteLength;
      report.progress(same);
    });
  }

  /** What is noted is what is sealed: the content is read once. */
  async #seal(stream: FileStream, chunks: SealedChunks, chunk: number): Promise<Ready> {
    const content = await this.#read(chunk);
    const noted = chunks.note(chunk, await digestOf(content));
    const [sealed] = await Promise.all([stream.seal(chunk, content), noted]);
    return { chunk, sealed };
  }

  async #read(chunk: number): Promise<ArrayBuffer> {
    const { file, content } = this.#sending;
    const { start, end } = contentOf(file.size, chunk);
    const bytes = await content
      .slice(start, end)
      .arrayBuffer()
      .catch(() => undefined);
    if (bytes?.byteLength !== end - start) throw new Stuck("unreadable");
    return bytes;
  }
}
