/**
 * The frames worker: every encoded frame of the call passes here, sealed on its way out and
 * opened on its way in. It gets its keys from the session worker, never from the page.
 */
import type { PayloadTypes } from "./codec";
import {
  type EncodedFrame,
  FrameError,
  IncomingSlot,
  type Opener,
  OutgoingTrack,
  type Verdict,
} from "./frames";
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
let newest: number | undefined;
/** By leaf, the epoch whose key last opened a frame of that member. */
const lastEpochs = new Map<number, number>();

let peer = 0;
let payloadTypes: PayloadTypes = {};
let outgoing: OutgoingTrack[] = [];
let incoming = new Map<string, IncomingSlot>();
/** Opens what waits for a key, by slot. */
let retries = new Map<string, () => void>();

const tell = (event: FramesEvent): void => self.postMessage(event);

function take(message: KeyMessage): void {
  switch (message.type) {
    case "reset":
      sealer?.free();
      opener?.free();
      sealer = new FrameSealer();
      opener = new FrameOpener();
      sealing = undefined;
      newest = undefined;
      lastEpochs.clear();
      break;
    case "install":
      sealer ??= new FrameSealer();
      opener ??= new FrameOpener();
      sealer.install(message.epoch, message.leaf, message.key);
      opener.install(message.epoch, message.key);
      message.key.fill(0);
      newest = Math.max(newest ?? 0, message.epoch);
      for (const retry of retries.values()) retry();
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
  retries = new Map();
}

type Gate = TransformStreamDefaultController<EncodedFrame>;

function seal(track: OutgoingTrack, frame: EncodedFrame, gate: Gate): void {
  const keys = sealing === undefined ? undefined : sealer;
  if (track.seal(frame, payloadTypes, keys)) gate.enqueue(frame);
}

/** What is done with a frame of a slot once it is opened, or is known not to open. */
function settle(slot: string, transformer: Transformer, gate: Gate) {
  return (frame: EncodedFrame, verdict: Verdict): void => {
    if (verdict.newLeaf !== undefined) tell({ type: "bound", peer, slot, leaf: verdict.newLeaf });
    if (verdict.askForKeyFrame) {
      // Refused while the receiver is not running; the next frame asks again.
      transformer.sendKeyFrameRequest?.().catch(() => undefined);
    }
    if (verdict.deliver) gate.enqueue(frame);
  };
}

/** Opens frames, and keeps in mind with which epoch's key each member's were opened. */
const opening: Opener = {
  open(codec, frame) {
    if (!opener) throw new FrameError("unknown_epoch");
    const opened = opener.open(codec, frame);
    lastEpochs.set(opened.leaf, opened.epoch);
    return opened;
  },
};

/** `begin` gives what is done with each frame, once there is a gate for them to go through. */
function run(
  { readable, writable, options }: Transformer,
  begin: (gate: Gate) => (frame: EncodedFrame) => void,
): void {
  let pass: (frame: EncodedFrame) => void;
  const gate = new TransformStream<EncodedFrame, EncodedFrame>({
    start(controller) {
      pass = begin(controller);
    },
    transform(frame) {
      // Frames of a connection that has been replaced go nowhere.
      if (options.peer === peer) pass(frame);
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
    run(transformer, (gate) => (frame) => seal(track, frame, gate));
  } else {
    const slot = new IncomingSlot(options.accepts);
    incoming.set(options.slot, slot);
    run(transformer, (gate) => {
      const then = settle(options.slot, transformer, gate);
      retries.set(options.slot, () => slot.retry(payloadTypes, opening, performance.now(), then));
      return (frame) => then(frame, slot.open(frame, payloadTypes, opening, performance.now()));
    });
  }
});

function report(now: number): FramesReport {
  return {
    epoch: sealing ?? null,
    newest: newest ?? null,
    lastEpochs,
    outgoing: outgoing.map(({ source, sealed, held }) => ({ source, sealed, held })),
    incoming: [...incoming].map(([key, slot]) => ({
      slot: key,
      accepts: slot.accepts,
      leaf: slot.leaf ?? null,
      opened: slot.opened,
      late: slot.late,
      dropped: slot.dropped,
      ...slot.arrivals(now),
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
      case "departed":
        for (const leaf of command.leaves) lastEpochs.delete(leaf);
        break;
      case "report":
        tell({ type: "report", id: command.id, report: report(performance.now()) });
        break;
    }
  });
