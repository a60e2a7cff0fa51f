/** A file on its way down, chunk by chunk, through pauses. Runs in the worker. */
import type { SharedFile } from "../protocol/SharedFile";
import { type Conditions, inLanes, LANES } from "./lanes";
import { chunksOf, numbersIn, sealedOf, sizeOf, without } from "./layout";
import { discard } from "./received";
import { getPart, type Token } from "./server";
import { openSink, type Sink } from "./sinks";
import { FileStream } from "./stream";
import { isFinal, Stuck } from "./trouble";

/** So often, in chunks, it is written down how far it has come. */
const SETTLED_EVERY = 16;

export class Download {
  readonly #token: Token;
  readonly #file: SharedFile;
  readonly #place: FileSystemFileHandle | undefined;
  /** There while it runs, and through a pause if it would lose what it holds. */
  #sink: Sink | undefined;

  constructor(token: Token, file: SharedFile, place: FileSystemFileHandle | undefined) {
    this.#token = token;
    this.#file = file;
    this.#place = place;
  }

  /** Every chunk is opened before it is written: what is there is what was sealed. */
  async run(conditions: Conditions, progress: (bytes: number) => void): Promise<Blob | undefined> {
    const { id, key, size } = this.#file;
    const stream = await FileStream.of(key, size);
    const sink = this.#sink ?? (await openSink(this.#file, this.#place));
    this.#sink = sink;
    const missing = without(sink.done, chunksOf(size));
    let through = sizeOf(size, sink.done);
    progress(through);
    try {
      await inLanes(numbersIn(missing), LANES, conditions, async (chunk, signal) => {
        const sealed = await getPart(this.#token, id, sealedOf(size, chunk), signal);
        const content = await stream.open(chunk, sealed);
        await sink.write(chunk, content);
        through += content.byteLength;
        progress(through);
        if (sink.done.size % SETTLED_EVERY === 0) sink.settle();
      });
      const content = await sink.finish();
      this.#sink = undefined;
      return content;
    } catch (error) {
      if (conditions.signal.aborted) await this.#rest(sink);
      else if (error instanceof Stuck && !isFinal(error.trouble)) await this.#close();
      else await this.discard();
      throw error;
    }
  }

  /** Leaves nothing behind. Not while it runs. */
  async discard(): Promise<void> {
    await this.#close();
    await discard(this.#file);
  }

  /** Another window may go on with what lasts; nobody could with anything else. */
  async #rest(sink: Sink): Promise<void> {
    if (sink.lasts) await this.#close();
  }

  async #close(): Promise<void> {
    await this.#sink?.close().catch(() => undefined);
    this.#sink = undefined;
  }
}
