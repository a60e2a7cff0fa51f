import { expect, test } from "vitest";
import vectors from "../../../e2ee/tests/vectors/files.json";
import { chunksOf, contentOf, sealedLength, sealedOf } from "./layout";
import { drawKey, FileStream, Tampered } from "./stream";

const content = (size: number) => Uint8Array.from({ length: size }, (_, at) => (at * 31) % 251);
const sha256 = async (bytes: ArrayBuffer) => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};

test("files are sealed to the known bytes", async () => {
  for (const { key, size, sealed_bytes, digests } of vectors) {
    const whole = content(size);
    const stream = await FileStream.of(key, size);
    expect(sealedLength(size)).toBe(sealed_bytes);
    expect(chunksOf(size)).toBe(digests.length);
    for (const [chunk, digest] of digests.entries()) {
      const { start, end } = contentOf(size, chunk);
      const sealed = await stream.seal(chunk, whole.subarray(start, end));
      expect(await sha256(sealed)).toBe(digest);
      const place = sealedOf(size, chunk);
      expect(place.end - place.start).toBe(sealed.byteLength);
      const opened = await stream.open(chunk, sealed);
      expect(await sha256(opened)).toBe(await sha256(whole.slice(start, end).buffer));
    }
    expect(sealedOf(size, digests.length - 1).end).toBe(sealed_bytes);
  }
});

test("what is changed, moved, cut or from another file is refused", async () => {
  const size = (2 << 20) + 5;
  const whole = content(size);
  const key = drawKey();
  const stream = await FileStream.of(key, size);
  const seal = (chunk: number) => {
    const { start, end } = contentOf(size, chunk);
    return stream.seal(chunk, whole.subarray(start, end));
  };
  const [first, second, last] = [await seal(0), await seal(1), await seal(2)];
  const changed = new Uint8Array(first.slice(0));
  changed[70] = (changed[70] ?? 0) ^ 1;
  const other = await FileStream.of(drawKey(), size);
  const shorter = await FileStream.of(key, 2 << 20);
  for (const refused of [
    () => stream.open(0, changed),
    () => stream.open(1, first),
    () => stream.open(0, second),
    () => stream.open(2, last.slice(0, -1)),
    () => stream.open(3, last),
    () => other.open(0, first),
    // As if the file ended with its second chunk.
    () => shorter.open(1, second),
  ]) {
    await expect(refused()).rejects.toThrow(Tampered);
  }
});
