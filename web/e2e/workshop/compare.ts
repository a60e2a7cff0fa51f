import type { Sealing } from "./compare.worker";

/** By which means frames are sealed, one after the other, or up to eight at once. */
export type Comparison = "wasm" | "webcrypto" | "webcrypto, 8 at once";

/** Seals frames of one size in a worker for so long. */
export async function compare(
  module: WebAssembly.Module,
  bytes: number,
  how: Comparison,
  ms: number,
): Promise<{ frames: number; ms: number }> {
  const worker = new Worker(new URL("./compare.worker.ts", import.meta.url), { type: "module" });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage({ module, bytes, how, ms } satisfies Sealing);
    });
  } finally {
    worker.terminate();
  }
}
