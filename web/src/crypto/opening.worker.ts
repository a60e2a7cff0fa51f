/**
 * An opening worker: frames of others are opened here on their way in. A call may have several of
 * them, each with some of the slots; a ledger that they share keeps a frame that one has opened
 * from being opened by another. It gets its keys from the session worker, never from the page.
 */
import { type EncodedFrame, IncomingSlot, type Verdict } from "./frames";
import { Keyring } from "./keyring";
import type {
  OpeningCommand,
  OpeningEvent,
  OpeningKeyMessage,
  OpeningReport,
  ReceiveOptions,
} from "./messages";
import { CurrentPeer, type Gate, guarding, onTransform, run, type Transformer } from "./transform";
import { FrameOpener, start } from "./wasm";

let keys = new Keyring(0, () => new FrameOpener());

let slots = new Map<string, IncomingSlot>();
/** Opens what waits for a key, by slot. */
let retries = new Map<string, () => void>();
const peer = new CurrentPeer(() => {
  slots = new Map();
  retries = new Map();
});

const tell = (event: OpeningEvent): void => self.postMessage(event);

function take(message: OpeningKeyMessage): void {
  keys.take(message);
  // What comes next shows whose the slot is; until then it is nobody's.
  for (const slot of slots.values()) {
    if (slot.holder && !keys.holds(slot.holder)) slot.unbind();
  }
  if (message.type === "install") for (const retry of retries.values()) retry();
}

/** What is done with a frame of a slot once it is opened, or is known not to open. */
function settle(slot: string, transformer: Transformer<ReceiveOptions>, gate: Gate) {
  return (frame: EncodedFrame, verdict: Verdict): void => {
    if (verdict.newHolder) {
      tell({ type: "bound", peer: peer.number, slot, holder: verdict.newHolder });
    }
    if (verdict.askForKeyFrame) {
      // Refused while the receiver is not running; the next frame asks again.
      transformer.sendKeyFrameRequest?.().catch(() => undefined);
    }
    if (verdict.deliver) gate.enqueue(frame);
  };
}

onTransform<ReceiveOptions>((transformer) => {
  const { options } = transformer;
  peer.enter(options.peer);
  const slot = new IncomingSlot(options.accepts);
  slots.set(options.slot, slot);
  run(transformer, peer, (gate) => {
    const then = settle(options.slot, transformer, gate);
    retries.set(options.slot, () => slot.retry(peer.payloadTypes, keys, performance.now(), then));
    return (frame) => then(frame, slot.open(frame, peer.payloadTypes, keys, performance.now()));
  });
});

const report = (now: number): OpeningReport => ({
  newest: keys.newest ?? null,
  lastEpochs: keys.lastEpochs,
  incoming: [...slots].map(([key, slot]) => ({
    slot: key,
    worker: keys.worker,
    accepts: slot.accepts,
    holder: slot.holder ?? null,
    opened: slot.opened,
    late: slot.late,
    dropped: slot.dropped,
    ...slot.arrivals(now),
  })),
});

const guard = guarding((detail) => tell({ type: "broken", detail }));

self.onmessage = ({ data: command }: MessageEvent<OpeningCommand>) =>
  guard(() => {
    switch (command.type) {
      case "start":
        keys = new Keyring(command.number, () => new FrameOpener());
        start(command.module);
        command.keys.onmessage = ({ data }: MessageEvent<OpeningKeyMessage>) =>
          guard(() => take(data));
        break;
      case "negotiated":
        peer.negotiated(command.peer, command.payloadTypes);
        break;
      case "unbind":
        slots.get(command.slot)?.unbind();
        break;
      case "report":
        tell({ type: "report", id: command.id, report: report(performance.now()) });
        break;
    }
  });
