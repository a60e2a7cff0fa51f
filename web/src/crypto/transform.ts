/** What the workers that seal and the workers that open frames have in common. */
import type { PayloadTypes } from "./codec";
import type { EncodedFrame } from "./frames";
import type { TransformOptions } from "./messages";

/** RTCRtpScriptTransformer, which the page's type library does not know. */
export interface Transformer<Options extends TransformOptions> {
  readonly readable: ReadableStream<EncodedFrame>;
  readonly writable: WritableStream<EncodedFrame>;
  readonly options: Options;
  sendKeyFrameRequest?(): Promise<unknown>;
}

export type Gate = TransformStreamDefaultController<EncodedFrame>;

/** Which connection counts. They are numbered; the frames of all but the last go nowhere. */
export class CurrentPeer {
  number = 0;
  payloadTypes: PayloadTypes = {};

  /** @param ended forgets what belongs to the connections before */
  constructor(readonly ended: () => void) {}

  /** The first that is heard of a new connection ends the one before. */
  enter(number: number): void {
    if (number <= this.number) return;
    this.number = number;
    this.payloadTypes = {};
    this.ended();
  }

  negotiated(number: number, payloadTypes: PayloadTypes): void {
    this.enter(number);
    this.payloadTypes = payloadTypes;
  }
}

/** Takes steps, and says when one of them fails. */
export function guarding(broken: (detail: string) => void): (step: () => void) => void {
  return (step) => {
    try {
      step();
    } catch (error) {
      broken(String(error));
    }
  };
}

/** Passes on the transforms that the page makes with this worker. */
export function onTransform<Options extends TransformOptions>(
  take: (transformer: Transformer<Options>) => void,
): void {
  self.addEventListener("rtctransform", (event) => {
    take((event as Event & { transformer: Transformer<Options> }).transformer);
  });
}

/** `begin` gives what is done with each frame, once there is a gate for them to go through. */
export function run<Options extends TransformOptions>(
  { readable, writable, options }: Transformer<Options>,
  peer: CurrentPeer,
  begin: (gate: Gate) => (frame: EncodedFrame) => void,
): void {
  let pass: (frame: EncodedFrame) => void;
  const gate = new TransformStream<EncodedFrame, EncodedFrame>({
    start(controller) {
      pass = begin(controller);
    },
    transform(frame) {
      if (options.peer === peer.number) pass(frame);
    },
  });
  // Ends with an error when the connection is closed; there is nothing left to do then.
  readable
    .pipeThrough(gate)
    .pipeTo(writable)
    .catch(() => undefined);
}
