/**
 * Feeds frames to a worker of the client as a browser does, without a connection: the worker's own
 * code runs, in a real browser, and what comes out is handed back.
 */
import type { EncodedFrame } from "../../src/crypto/frames";

export interface Feed {
  readonly type: "feed";
  readonly id: number;
  /** What the page gives to RTCRtpScriptTransform. */
  readonly options: object;
  readonly payloadType: number;
  readonly frames: readonly ArrayBuffer[];
}

export interface Fed {
  readonly type: "fed";
  readonly id: number;
  /** What came out. */
  readonly frames: readonly ArrayBuffer[];
  /** From the first frame's way in to the last one's way out. */
  readonly ms: number;
}

/** To be called in the worker, beside its own code. */
export function takeFeeds(): void {
  self.addEventListener("message", ({ data }: MessageEvent<Feed | { type: "" }>) => {
    if (data.type !== "feed") return;
    const { id, options, payloadType } = data;
    const metadata = { payloadType, synchronizationSource: 1 };
    const readable = new ReadableStream<EncodedFrame>({
      start(controller) {
        for (const bytes of data.frames) {
          controller.enqueue({ data: bytes, type: "delta", getMetadata: () => metadata });
        }
        controller.close();
      },
    });
    const frames: ArrayBuffer[] = [];
    const begun = performance.now();
    const writable = new WritableStream<EncodedFrame>({
      write(frame) {
        frames.push(frame.data);
      },
      close() {
        const fed: Fed = { type: "fed", id, frames, ms: performance.now() - begun };
        self.postMessage(fed, { transfer: frames });
      },
    });
    const transformer = { readable, writable, options };
    self.dispatchEvent(Object.assign(new Event("rtctransform"), { transformer }));
  });
}
