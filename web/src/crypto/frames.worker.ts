/**
 * The frames worker: every encoded frame of the call passes here, sealed on its way out and
 * opened on its way in. It gets its keys from the session worker, never from the page.
 */
import type { PayloadTypes } from "./codec";
import { type EncodedFrame, IncomingSlot, OutgoingTrack } from "./frames";
import type {
  FramesCommand,
  FramesEvent,
  FramesReport,
  KeyMessage,
  TransformOptions,
} from "./messages";
import { FrameOpener, FrameSealer, start } from "./wasm";

/** RTCRtpScriptTransformer, which the page's type library does not know. */
interface Transformer {
  readonly readable: ReadableStream<EncodedFrame>;
  readonly writable: WritableStream<EncodedFrame>;
  readonly options: TransformOptions;
  sendKeyFrameRequest?(): Promise<unknown>;
}

let sealer: FrameSealer | undefined;
let opener: FrameOpener | undefined;
/** The epoch that we seal with; none yet means that nothing leaves. */
let sealing: number | undefined;

let peer = 0;
let payloadTypes: PayloadTypes = {};
let outgoing: OutgoingTrack[] = [];
let incoming = new Map<string, IncomingSlot>();

const tell = (event: FramesEvent): void => self.postMessage(event);

function take(message: KeyMessage): void {
  switch (message.type) {
    case "reset":
      sealer?.free();
      opener?.free();
      sealer = new FrameSealer();
      opener = new FrameOpener();
      sealing = undefined;
      break;
    case "install":
      sealer ??= new FrameSealer();
      opener ??= new FrameOpener();
      sealer.install(message.epoch, message.leaf, message.key);
      opener.install(message.epoch, message.key);
      message.key.fill(0);
      break;
    case "seal_with":
      sealer?.sealWith(message.epoch);
      sealing = message.epoch;
      tell({ type: "sealing", epoch: message.epoch });
      break;
    case "forget":
      sealer?.forget(message.epoch);
      opener?.forget(message.epoch);
      break;
  }
}

/** Connections are numbered; the first transform of a new one ends the counts of the last. */
function enter(number: number): void {
  if (number <= peer) return;
  peer = number;
  payloadTypes = {};
  outgoing = [];
  incoming = new Map();
}

/** Changes a frame in place and says whether it may go on. */
type Step = (frame: EncodedFrame) => boolean;

function seal(track: OutgoingTrack): Step {
  return (frame) => track.seal(frame, payloadTypes, sealing === undefined ? undefined : sealer);
}

function open(slot: IncomingSlot, name: string, transformer: Transformer): Step {
  return (frame) => {
    const verdict = slot.open(frame, payloadTypes, opener, performance.now());
    if (verdict.newLeaf !== undefined) {
      tell({ type: "bound", peer, slot: name, leaf: verdict.newLeaf });
    }
    if (verdict.askForKeyFrame) {
      // Refused while the receiver is not running; the next frame asks again.
      transformer.sendKeyFrameRequest?.().catch(() => undefined);
    }
    return verdict.deliver;
  };
}

function run({ readable, writable, options }: Transformer, step: Step): void {
  const gate = new TransformStream<EncodedFrame, EncodedFrame>({
    transform(frame, controller) {
      // Frames of a connection that has been replaced go nowhere.
      if (options.peer === peer && step(frame)) controller.enqueue(frame);
    },
  });
  // Ends with an error when the connection is closed; there is nothing left to do then.
  readable
    .pipeThrough(gate)
    .pipeTo(writable)
    .catch(() => undefined);
}

self.addEventListener("rtctransform", (event) => {
  const { transformer } = event as Event & { transformer: Transformer };
  const { options } = transformer;
  enter(options.peer);
  if (options.side === "send") {
    const track = new OutgoingTrack(options.source);
    outgoing.push(track);
    run(transformer, seal(track));
  } else {
    const slot = new IncomingSlot(options.accepts);
    incoming.set(options.slot, slot);
    run(transformer, open(slot, options.slot, transformer));
  }
});

function report(now: number): FramesReport {
  return {
    epoch: sealing ?? null,
    outgoing: outgoing.map(({ source, sealed, held }) => ({ source, sealed, held })),
    incoming: [...incoming].map(([slot, { accepts, leaf, opened, lastOpened, dropped }]) => ({
      slot,
      accepts,
      leaf: leaf ?? null,
      opened,
      idleMs: opened === 0 ? null : now - lastOpened,
      dropped,
    })),
  };
}

function guard(step: () => void): void {
  try {
    step();
  } catch (error) {
    tell({ type: "broken", detail: String(error) });
  }
}

self.onmessage = ({ data: command }: MessageEvent<FramesCommand>) =>
  guard(() => {
    switch (command.type) {
      case "start":
        start(command.module);
        command.keys.onmessage = ({ data }: MessageEvent<KeyMessage>) => guard(() => take(data));
        break;
      case "negotiated":
        enter(command.peer);
        payloadTypes = command.payloadTypes;
        break;
      case "unbind":
        incoming.get(command.slot)?.unbind();
        break;
      case "report":
        tell({ type: "report", id: command.id, report: report(performance.now()) });
        break;
    }
  });
