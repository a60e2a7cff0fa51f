/** Frames of the codecs that leave nothing clear (docs/protocol.md §6, RFC 9605 §4). */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";

const SUITE = 4;
const TAG = 16;
const LAYOUT = 1;
const OPUS = 0;

function bigEndian(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return length > 8 ? Buffer.concat([Buffer.alloc(length - 8), bytes]) : bytes.subarray(8 - length);
}

function derive(baseKey: Uint8Array, label: "key" | "salt", kid: number, length: number): Buffer {
  const words = Buffer.from(`SFrame 1.0 Secret ${label} `);
  const info = Buffer.concat([words, bigEndian(kid, 8), bigEndian(SUITE, 2)]);
  return Buffer.from(hkdfSync("sha256", baseKey, "", info, length));
}

function nonce(baseKey: Uint8Array, kid: number, counter: number): Buffer {
  const salt = derive(baseKey, "salt", kid, 12);
  bigEndian(counter, 12).forEach((byte, place) => {
    salt[place] = (salt[place] ?? 0) ^ byte;
  });
  return salt;
}

/** The bytes of a number, and the half byte that announces them. */
function field(value: number): [number, Buffer] {
  if (value < 8) return [value, Buffer.alloc(0)];
  const length = Math.ceil(value.toString(16).length / 2);
  return [8 | (length - 1), bigEndian(value, length)];
}

function header(kid: number, counter: number): Buffer {
  const [k, kidBytes] = field(kid);
  const [c, counterBytes] = field(counter);
  return Buffer.concat([Buffer.from([(k << 4) | c]), kidBytes, counterBytes]);
}

/** The number after an announcement, and how many bytes it has. */
function read(announced: number, bytes: Buffer): [number, number] {
  if (announced < 8) return [announced, 0];
  const length = (announced & 7) + 1;
  return [bytes.readUIntBE(0, length), length];
}

export interface Place {
  context: number;
  leaf: number;
  epoch: number;
}

export function sealOpus(
  baseKey: Uint8Array,
  { context, leaf, epoch }: Place,
  counter: number,
  frame: Uint8Array,
): Uint8Array {
  const kid = (context << 18) | (leaf << 8) | (epoch % 256);
  const head = header(kid, counter);
  const key = derive(baseKey, "key", kid, 16);
  const cipher = createCipheriv("aes-128-gcm", key, nonce(baseKey, kid, counter));
  cipher.setAAD(Buffer.concat([head, Buffer.from([LAYOUT, OPUS])]));
  return Buffer.concat([head, cipher.update(frame), cipher.final(), cipher.getAuthTag()]);
}

export function openOpus(
  baseKey: Uint8Array,
  sealed: Uint8Array,
): { context: number; leaf: number; counter: number; frame: Uint8Array } {
  const bytes = Buffer.from(sealed);
  const config = bytes.readUInt8(0);
  const [kid, kidLength] = read(config >> 4, bytes.subarray(1));
  const [counter, counterLength] = read(config & 15, bytes.subarray(1 + kidLength));
  const length = 1 + kidLength + counterLength;
  const key = derive(baseKey, "key", kid, 16);
  const decipher = createDecipheriv("aes-128-gcm", key, nonce(baseKey, kid, counter));
  decipher.setAAD(Buffer.concat([bytes.subarray(0, length), Buffer.from([LAYOUT, OPUS])]));
  decipher.setAuthTag(bytes.subarray(-TAG));
  const frame = Buffer.concat([decipher.update(bytes.subarray(length, -TAG)), decipher.final()]);
  return { context: kid >> 18, leaf: (kid >> 8) & 1023, counter, frame };
}
