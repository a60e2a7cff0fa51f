import type { Measured, Measuring } from "./group.worker";

/** Measures groups of these sizes in a worker, one after the other. */
export async function measureGroups(
  module: WebAssembly.Module,
  sizes: readonly number[],
  repetitions: number,
): Promise<Measured[]> {
  const worker = new Worker(new URL("./group.worker.ts", import.meta.url), { type: "module" });
  try {
    return await new Promise((resolve, reject) => {
      const all: Measured[] = [];
      worker.onmessage = ({ data }: MessageEvent<Measured | string>) => {
        if (typeof data === "string") return reject(new Error(data));
        all.push(data);
        if (all.length === sizes.length) resolve(all);
      };
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage({ module, sizes, repetitions } satisfies Measuring);
    });
  } finally {
    worker.terminate();
  }
}
