/**
 * An opening worker: frames of others are opened here on their way in. A call may have several of
 * them, each with some of the slots; a ledger that they share keeps a frame that one has opened
 * from being opened by another. It gets its keys from the session worker, never from the page.
 */
import { type EncodedFrame, FrameError, IncomingSlot, type Opener, type Verdict } from "./frames";
import { Ledger } from "./ledger";
import type {
  OpeningCommand,
  OpeningEvent,
  OpeningKeyMessage,
  OpeningReport,
  ReceiveOptions,
} from "./messages";
import { CurrentPeer, type Gate, guarding, onTransform, run, type Transformer } from "./transform";
import { FrameOpener, start } from "./wasm";

/** Which of the opening workers this is. */
let number = 0;
let inner: FrameOpener | undefined;
const ledgers = new Map<number, Ledger>();
let newest: number | undefined;
/** By leaf, the epoch whose key last opened a frame of that member. */
const lastEpochs = new Map<number, number>();

let slots = new Map<string, IncomingSlot>();
/** Opens what waits for a key, by slot. */
let retries = new Map<string, () => void>();
const peer = new CurrentPeer(() => {
  slots = new Map();
  retries = new Map();
});

const tell = (event: OpeningEvent): void => self.postMessage(event);

function take(message: OpeningKeyMessage): void {
  switch (message.type) {
    case "reset":
      inner?.free();
      inner = new FrameOpener();
      ledgers.clear();
      newest = undefined;
      lastEpochs.clear();
      break;
    case "install":
      inner ??= new FrameOpener();
      inner.install(message.epoch, message.key);
      message.key.fill(0);
      ledgers.set(message.epoch, new Ledger(message.ledger, number));
      newest = Math.max(newest ?? 0, message.epoch);
      for (const retry of retries.values()) retry();
      break;
    case "forget":
      inner?.forget(message.epoch);
      ledgers.delete(message.epoch);
      break;
  }
}

/** Opens what nobody has opened before, and keeps in mind which epoch's keys members use. */
const opener: Opener = {
  open(codec, frame) {
    if (!inner) throw new FrameError("unknown_epoch");
    const opened = inner.open(codec, frame);
    const { epoch, context, leaf, counter } = opened;
    if (!ledgers.get(epoch)?.enter(context, leaf, counter)) throw new FrameError("elsewhere");
    lastEpochs.set(leaf, epoch);
    return opened;
  },
};

/** What is done with a frame of a slot once it is opened, or is known not to open. */
function settle(slot: string, transformer: Transformer<ReceiveOptions>, gate: Gate) {
  return (frame: EncodedFrame, verdict: Verdict): void => {
    if (verdict.newLeaf !== undefined) {
      tell({ type: "bound", peer: peer.number, slot, leaf: verdict.newLeaf });
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
    retries.set(options.slot, () => slot.retry(peer.payloadTypes, opener, performance.now(), then));
    return (frame) => then(frame, slot.open(frame, peer.payloadTypes, opener, performance.now()));
  });
});

const report = (now: number): OpeningReport => ({
  newest: newest ?? null,
  lastEpochs,
  incoming: [...slots].map(([key, slot]) => ({
    slot: key,
    worker: number,
    accepts: slot.accepts,
    leaf: slot.leaf ?? null,
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
        number = command.number;
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
      case "departed":
        for (const leaf of command.leaves) lastEpochs.delete(leaf);
        break;
      case "report":
        tell({ type: "report", id: command.id, report: report(performance.now()) });
        break;
    }
  });
