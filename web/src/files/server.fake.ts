/** A server of files, in memory, in place of `fetch`. For tests. */
import type { SharedFile } from "../protocol/SharedFile";
import { chunksOf, contentOf, without } from "./layout";
import { drawKey, FileStream } from "./stream";

interface Stored {
  readonly chunks: Map<number, Uint8Array>;
  readonly count: number;
}

export interface Put {
  readonly id: string;
  readonly chunk: number;
  readonly sealed: Uint8Array;
}

const CHUNK_SEALED = (1 << 20) + 16;

export const contentFor = (size: number, seed = 0) =>
  Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >> 20) + seed) % 251);

/** For `vi.waitFor`, on machines that have other things to do. */
export const patience = { timeout: 20_000 };

/** Told in a word: nobody wants to read where two large files differ. */
export const isSame = (one: Uint8Array | undefined, other: Uint8Array) =>
  one?.length === other.length && one.every((byte, at) => byte === other[at]);

export class FileServer {
  readonly stored = new Map<string, Stored>();
  /** All that was sent to it, stored or not. */
  readonly puts: Put[] = [];
  /** Chunks that were asked for. */
  readonly gets: number[] = [];
  readonly deleted: string[] = [];
  /** What it says is missing, if that is a lie. */
  lie: [number, number][] | undefined;
  /** Called before a chunk is stored or given; answers instead of it, or holds it up. */
  meet: (chunk: number) => Promise<Response | undefined> = async () => undefined;
  #last = 0;

  readonly fetch = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const { signal } = init;
    signal?.throwIfAborted();
    let stop: () => void = () => undefined;
    const stopped = new Promise<never>((_, reject) => {
      stop = () => reject(signal?.reason);
    });
    signal?.addEventListener("abort", stop, { once: true });
    try {
      const answering = this.#answer(path.replace("/api/v1/files", ""), init);
      return await Promise.race([answering, stopped]);
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  };

  /** Somebody has sent a file. */
  async store(content: Uint8Array<ArrayBuffer>): Promise<SharedFile> {
    const { id, stored } = this.#declare(chunksOf(content.length));
    const file = { id, key: drawKey(), size: content.length, name: "a file", kind: "" };
    const stream = await FileStream.of(file.key, file.size);
    for (let chunk = 0; chunk < stored.count; chunk += 1) {
      const { start, end } = contentOf(file.size, chunk);
      const sealed = await stream.seal(chunk, content.subarray(start, end));
      stored.chunks.set(chunk, new Uint8Array(sealed));
    }
    return file;
  }

  /** What those see of a file who know its key. */
  async opened({ id, key, size }: SharedFile): Promise<Uint8Array> {
    const stream = await FileStream.of(key, size);
    const whole = new Uint8Array(size);
    for (const [chunk, sealed] of this.stored.get(id)?.chunks ?? []) {
      const content = await stream.open(chunk, sealed.slice().buffer);
      whole.set(new Uint8Array(content), contentOf(size, chunk).start);
    }
    return whole;
  }

  #declare(count: number) {
    this.#last += 1;
    const id = `file ${this.#last}`;
    const stored: Stored = { chunks: new Map(), count };
    this.stored.set(id, stored);
    return { id, stored };
  }

  async #answer(path: string, { method = "GET", body, headers }: RequestInit): Promise<Response> {
    if (path === "") {
      const { bytes } = JSON.parse(String(body)) as { bytes: number };
      const { id, stored } = this.#declare(Math.max(1, Math.ceil(bytes / CHUNK_SEALED)));
      return Response.json({ id, chunks: stored.count }, { status: 201 });
    }
    const [, id = "", last] = path.split("/");
    const stored = this.stored.get(id);
    if (!stored) {
      return Response.json({ type: "urn:conclave:problem:no-such-file" }, { status: 404 });
    }
    if (method === "DELETE") {
      this.deleted.push(id);
      this.stored.delete(id);
      return new Response(null, { status: 204 });
    }
    if (last === "chunks") {
      const missing = this.lie ?? without(new Set(stored.chunks.keys()), stored.count);
      return Response.json({ missing });
    }
    if (method === "PUT") {
      const sealed = new Uint8Array(body as ArrayBuffer);
      this.puts.push({ id, chunk: Number(last), sealed });
      const instead = await this.meet(Number(last));
      if (instead) return instead;
      stored.chunks.set(Number(last), sealed);
      return new Response(null, { status: 204 });
    }
    const { range = "" } = headers as { range?: string };
    const chunk = Number(range.match(/\d+/)?.[0]) / CHUNK_SEALED;
    this.gets.push(chunk);
    const given = (await this.meet(chunk)) ?? stored.chunks.get(chunk)?.slice();
    return given instanceof Response ? given : new Response(given ?? null, { status: 206 });
  }
}

/** Lets so many chunks through and holds up all others; tells when the first of them comes. */
export function letThrough(server: FileServer, count: number): Promise<void> {
  let left = count;
  return new Promise((resolve) => {
    server.meet = async () => {
      left -= 1;
      if (left >= 0) return undefined;
      resolve();
      return new Promise(() => undefined);
    };
  });
}

export function letAllThrough(server: FileServer): void {
  server.meet = async () => undefined;
}
