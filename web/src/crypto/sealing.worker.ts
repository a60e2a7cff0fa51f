/**
 * The sealing worker: every frame of ours is sealed here on its way out, and nowhere else. There is
 * one of it in a call, since two that sealed with the same key would count the same nonces; the
 * port over which it gets its keys cannot be in two places. They come from the session worker,
 * never from the page.
 */
import { type EncodedFrame, OutgoingTrack } from "./frames";
import type {
  SealingCommand,
  SealingEvent,
  SealingKeyMessage,
  SealingReport,
  SendOptions,
} from "./messages";
import { CurrentPeer, type Gate, guarding, onTransform, run } from "./transform";
import { FrameSealer, start } from "./wasm";

let sealer: FrameSealer | undefined;
/** The epoch that we seal with; none yet means that nothing leaves. */
let sealing: number | undefined;

let tracks: OutgoingTrack[] = [];
const peer = new CurrentPeer(() => {
  tracks = [];
});

const tell = (event: SealingEvent): void => self.postMessage(event);

function take(message: SealingKeyMessage): void {
  switch (message.type) {
    case "reset":
      sealer?.free();
      sealer = new FrameSealer();
      sealing = undefined;
      break;
    case "install":
      sealer ??= new FrameSealer();
      sealer.install(message.epoch, message.leaf, message.key);
      message.key.fill(0);
      break;
    case "seal_with":
      sealer?.sealWith(message.epoch);
      sealing = message.epoch;
      tell({ type: "sealing", epoch: message.epoch });
      break;
    case "forget":
      sealer?.forget(message.epoch);
      break;
  }
}

function seal(track: OutgoingTrack, frame: EncodedFrame, gate: Gate): void {
  const keys = sealing === undefined ? undefined : sealer;
  if (track.seal(frame, peer.payloadTypes, keys)) gate.enqueue(frame);
  // The module has given up: nothing of ours leaves any more, and the person should know.
  else if (track.held.broken) tell({ type: "broken", detail: "frames cannot be sealed" });
}

onTransform<SendOptions>((transformer) => {
  peer.enter(transformer.options.peer);
  const track = new OutgoingTrack(transformer.options.source);
  tracks.push(track);
  run(transformer, peer, (gate) => (frame) => seal(track, frame, gate));
});

const report = (): SealingReport => ({
  epoch: sealing ?? null,
  outgoing: tracks.map(({ source, sealed, held }) => ({ source, sealed, held })),
});

const guard = guarding((detail) => tell({ type: "broken", detail }));

self.onmessage = ({ data: command }: MessageEvent<SealingCommand>) =>
  guard(() => {
    switch (command.type) {
      case "start":
        start(command.module);
        command.keys.onmessage = ({ data }: MessageEvent<SealingKeyMessage>) =>
          guard(() => take(data));
        break;
      case "negotiated":
        peer.negotiated(command.peer, command.payloadTypes);
        break;
      case "report":
        tell({ type: "report", id: command.id, report: report() });
        break;
    }
  });
