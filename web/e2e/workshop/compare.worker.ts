/** Seals the same frames by the WASM module and by WebCrypto, to see what either costs. */
import { FrameSealer, start } from "../../src/crypto/wasm";
import type { Comparison } from "./compare";

export interface Sealing {
  readonly module: WebAssembly.Module;
  readonly bytes: number;
  readonly how: Comparison;
  readonly ms: number;
}

/** The SFrame header and what the tag covers beside it: as long as they are in a call. */
const HEADER_BYTES = 7;
const TAG_BYTES = 16;

self.onmessage = async ({ data }: MessageEvent<Sealing>) => {
  const frame = crypto.getRandomValues(new Uint8Array(data.bytes));
  frame[0] = 1;
  const seal = data.how === "wasm" ? byWasm(data.module, frame) : await byWebCrypto(frame);
  const atOnce = data.how === "webcrypto, 8 at once" ? 8 : 1;
  await repeat(seal, atOnce, data.ms / 4);
  self.postMessage(await repeat(seal, atOnce, data.ms));
};

async function repeat(
  seal: () => Uint8Array | Promise<Uint8Array>,
  atOnce: number,
  ms: number,
): Promise<{ frames: number; ms: number }> {
  const begun = performance.now();
  let frames = 0;
  let now = begun;
  while (now - begun < ms) {
    for (let turn = 0; turn < 16; turn += 1) {
      if (atOnce === 1) {
        const sealed = seal();
        if (sealed instanceof Promise) await sealed;
      } else {
        await Promise.all(Array.from({ length: atOnce }, seal));
      }
    }
    frames += 16 * atOnce;
    now = performance.now();
  }
  return { frames, ms: now - begun };
}

function byWasm(module: WebAssembly.Module, frame: Uint8Array): () => Uint8Array {
  start(module);
  const sealer = new FrameSealer();
  sealer.install(1, 1, crypto.getRandomValues(new Uint8Array(16)));
  sealer.sealWith(1);
  return () => sealer.seal(1, "vp8", frame);
}

/** As little as a frame sealed by WebCrypto can cost: a nonce, the call, and the frame put together. */
async function byWebCrypto(frame: Uint8Array): Promise<() => Promise<Uint8Array>> {
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 128 }, false, ["encrypt"]);
  const salt = crypto.getRandomValues(new Uint8Array(12));
  let counter = 0;
  return async () => {
    counter += 1;
    const iv = salt.slice();
    const tail = new DataView(iv.buffer);
    tail.setUint32(8, tail.getUint32(8) ^ counter);
    const additionalData = new Uint8Array(HEADER_BYTES + 3);
    const secret = new Uint8Array(frame.subarray(1));
    const sealed = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData, tagLength: TAG_BYTES * 8 },
      key,
      secret,
    );
    const out = new Uint8Array(1 + HEADER_BYTES + sealed.byteLength);
    out.set(frame.subarray(0, 1));
    out.set(additionalData.subarray(0, HEADER_BYTES), 1);
    out.set(new Uint8Array(sealed), 1 + HEADER_BYTES);
    return out;
  };
}
