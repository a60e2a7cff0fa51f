/**
 * Sealing and opening a file's chunks: STREAM over AES-256-GCM, as `e2ee/src/file` has it, by
 * WebCrypto. Chunks are large, and browsers seal large things several times as fast as WASM does.
 */
import { chunksOf, contentOf, TAG } from "./layout";

const KEY_BYTES = 32;
const PREFIX_BYTES = 7;

/** A chunk that its sender did not seal for this place in this file. */
export class Tampered extends Error {
  override readonly name = "Tampered";
}

function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  const plain = text.replaceAll("-", "+").replaceAll("_", "/");
  return Uint8Array.from(atob(plain), (letter) => letter.charCodeAt(0));
}

/** Draws a file's key and nonce prefix, as they are told to the members. */
export function drawKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES + PREFIX_BYTES));
  const text = btoa(String.fromCharCode(...bytes));
  bytes.fill(0);
  return text.replaceAll("+", "-").replaceAll("/", "_");
}

export class FileStream {
  readonly #key: CryptoKey;
  readonly #prefix: Uint8Array;
  readonly #size: number;

  private constructor(key: CryptoKey, prefix: Uint8Array, size: number) {
    this.#key = key;
    this.#prefix = prefix;
    this.#size = size;
  }

  static async of(key: string, size: number): Promise<FileStream> {
    const bytes = fromBase64url(key);
    if (bytes.length !== KEY_BYTES + PREFIX_BYTES) throw new Error("this is no file's key");
    const imported = await crypto.subtle.importKey(
      "raw",
      bytes.subarray(0, KEY_BYTES),
      "AES-GCM",
      false,
      ["encrypt", "decrypt"],
    );
    const prefix = bytes.slice(KEY_BYTES);
    bytes.fill(0);
    return new FileStream(imported, prefix, size);
  }

  /** A number must be sealed with one content only. */
  async seal(chunk: number, content: BufferSource): Promise<ArrayBuffer> {
    if (content.byteLength !== this.#lengthOf(chunk)) throw new Error("this is no chunk");
    return crypto.subtle.encrypt(this.#place(chunk), this.#key, content);
  }

  async open(chunk: number, sealed: BufferSource): Promise<ArrayBuffer> {
    if (sealed.byteLength !== this.#lengthOf(chunk) + TAG) {
      throw new Tampered("the chunk has another length than its place");
    }
    try {
      return await crypto.subtle.decrypt(this.#place(chunk), this.#key, sealed);
    } catch {
      throw new Tampered("the chunk is not what was sealed for its place");
    }
  }

  #lengthOf(chunk: number): number {
    if (!Number.isInteger(chunk) || chunk < 0 || chunk >= chunksOf(this.#size)) {
      throw new Tampered("the file has no such chunk");
    }
    const { start, end } = contentOf(this.#size, chunk);
    return end - start;
  }

  #place(chunk: number): AesGcmParams {
    const iv = new Uint8Array(12);
    iv.set(this.#prefix);
    new DataView(iv.buffer).setUint32(PREFIX_BYTES, chunk);
    iv[11] = chunk === chunksOf(this.#size) - 1 ? 1 : 0;
    return { name: "AES-GCM", iv };
  }
}
