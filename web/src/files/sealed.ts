/**
 * What was sealed of a file that is on its way up. A chunk's nonce is its number, so two contents
 * under one key would give the key away: what is sealed is written down before it is sent, and
 * a chunk that is to be sealed again has to be the same.
 */
import { answer, transactOver } from "../storage/database";
import { Stuck } from "./trouble";

export interface SealedChunk {
  readonly chunk: number;
  /** The SHA-256 of its content. */
  readonly digest: Uint8Array;
}

/** Where that is written down, to outlive the page. */
export interface SealedShelf {
  of(file: string): Promise<readonly SealedChunk[]>;
  /** Fails if one was sealed with another content, or if the file is not among the unfinished. */
  note(file: string, chunks: readonly SealedChunk[]): Promise<void>;
}

export async function digestOf(content: ArrayBuffer): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", content));
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

interface Noted {
  readonly digest: Uint8Array;
  readonly written: Promise<void>;
}

export class SealedChunks {
  readonly #noted = new Map<number, Noted>();
  #batch: SealedChunk[] = [];
  #turn: Promise<void> = Promise.resolve();

  constructor(
    readonly file: string,
    /** None if nothing outlives the page: then nobody goes on with the file after it. */
    readonly shelf: SealedShelf | undefined,
  ) {}

  /** Returns when it is written down; only then may the chunk be sent. */
  async note(chunk: number, digest: Uint8Array): Promise<void> {
    let noted = this.#noted.get(chunk);
    if (!noted) {
      noted = { digest, written: this.#write({ chunk, digest }) };
      this.#noted.set(chunk, noted);
      // It was not sent, then, and is tried again when somebody resumes.
      noted.written.catch(() => this.#noted.delete(chunk));
    }
    if (!isSame(noted.digest, digest)) throw new Stuck("changed");
    await noted.written;
  }

  /** Takes over what earlier pages have written down, and says which chunks those are. */
  async recall(): Promise<readonly number[]> {
    const before = (await this.shelf?.of(this.file)) ?? [];
    for (const { chunk, digest } of before)
      this.#noted.set(chunk, { digest, written: Promise.resolve() });
    return before.map(({ chunk }) => chunk);
  }

  /** Those that come while others are being written go together, after them. */
  #write(one: SealedChunk): Promise<void> {
    this.#batch.push(one);
    if (this.#batch.length === 1) {
      const next = () => {
        const batch = this.#batch;
        this.#batch = [];
        return this.shelf?.note(this.file, batch).catch((error: unknown) => {
          throw error instanceof Stuck ? error : new Stuck("no-space");
        });
      };
      this.#turn = this.#turn.then(next, next);
    }
    return this.#turn;
  }
}

/** Of a file. An array comes after all numbers (Indexed Database §2.4). */
export function chunksOfFile(file: string): IDBKeyRange {
  return IDBKeyRange.bound([file], [file, []]);
}

interface Row extends SealedChunk {
  readonly file: string;
}

export const browserShelf: SealedShelf = {
  of: (file) =>
    transactOver(
      ["sealed"],
      "readonly",
      (store) => answer(store("sealed").getAll(chunksOfFile(file))) as Promise<Row[]>,
    ),

  note: (file, chunks) =>
    transactOver(
      ["transfers", "sealed"],
      "readwrite",
      async (store) => {
        // Another window has finished it or called it off, and with it went what was written down.
        if ((await answer(store("transfers").getKey(file))) === undefined)
          throw new Stuck("no-such-file");
        const sealed = store("sealed");
        for (const one of chunks) {
          const known = (await answer(sealed.get([file, one.chunk]))) as Row | undefined;
          if (!known) await answer(sealed.put({ file, ...one } satisfies Row));
          else if (!isSame(known.digest, one.digest)) throw new Stuck("changed");
        }
      },
      "strict",
    ),
};
