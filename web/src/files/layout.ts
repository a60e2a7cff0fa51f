/** How a sealed file is laid out in chunks (protocol/src/file.rs). */

/** Content of every chunk but the last. */
export const CHUNK = 1 << 20;
/** What sealing adds to a chunk. */
export const TAG = 16;

/** From the first byte to before the last. */
export interface Part {
  readonly start: number;
  readonly end: number;
}

/** An empty file is one chunk without content. */
export function chunksOf(size: number): number {
  return Math.max(1, Math.ceil(size / CHUNK));
}

export function sealedLength(size: number): number {
  return size + chunksOf(size) * TAG;
}

/** Where a chunk's content lies in the file. */
export function contentOf(size: number, chunk: number): Part {
  return { start: chunk * CHUNK, end: Math.min(size, (chunk + 1) * CHUNK) };
}

/** Where a chunk lies in the sealed file. */
export function sealedOf(size: number, chunk: number): Part {
  const { start, end } = contentOf(size, chunk);
  return { start: start + chunk * TAG, end: end + (chunk + 1) * TAG };
}

/** Chunks that are done, to be written down briefly: the first and the one after the last. */
export type Ranges = readonly (readonly [number, number])[];

export function* numbersIn(ranges: Ranges): Generator<number> {
  for (const [first, end] of ranges) for (let at = first; at < end; at += 1) yield at;
}

/** All chunks of a file that are not among these. */
export function without(done: ReadonlySet<number>, chunks: number): [number, number][] {
  const ranges: [number, number][] = [];
  for (let at = 0; at < chunks; at += 1) {
    if (done.has(at)) continue;
    const last = ranges.at(-1);
    if (last?.[1] === at) last[1] = at + 1;
    else ranges.push([at, at + 1]);
  }
  return ranges;
}

/** Bytes of content in these chunks. */
export function sizeOf(size: number, chunks: Iterable<number>): number {
  let bytes = 0;
  for (const chunk of chunks) {
    const { start, end } = contentOf(size, chunk);
    bytes += end - start;
  }
  return bytes;
}
