/**
 * One peer connection to the SFU. Everything it will ever carry stands in its first offer:
 * four sending sections and as many receiving slots as the screen can show. Afterwards only tracks are
 * replaced, so there is no second round of offer and answer.
 */
import { type Codec, codecOfMime, payloadTypesOf } from "../crypto/codec";
import type { ReceiveOptions, SendOptions } from "../crypto/messages";
import type { ClientMessage } from "../protocol/ClientMessage";
import type { ControlNotice } from "../protocol/ControlNotice";
import type { ControlRequest } from "../protocol/ControlRequest";
import type { Mid } from "../protocol/Mid";
import type { Source } from "../protocol/Source";
import { encodingsFor } from "./layers";
import { Turns } from "./turns";
import type { Workers } from "./workers";

/** The label that the server expects. */
const CHANNEL_LABEL = "control";

/**
 * For so long, after a browser has noticed that nothing comes, the connection may heal by itself.
 * Another one is up in less.
 */
const DISCONNECTED_MS = 1_000;

/** How many slots there are for each kind of media but cameras, of which the screen decides. */
const SLOTS = { microphone: 4, screen: 1 } as const;

/** Preferred first. Codecs that are not named are not offered. */
const VIDEO_CODECS = ["video/VP8", "video/VP9", "video/AV1", "video/H264", "video/rtx"];
const AUDIO_CODECS = ["audio/opus"];

/** Browsers name H.264 once for each profile and packetization mode; the server takes this one. */
const H264_FORMAT = ["packetization-mode=1", "profile-level-id=42e01f"];

/** As for the largest picture; the camera's real one sets the encodings anew. */
const USUAL_HEIGHT = 720;

/** Tells of each packet which layer its frame is of (AV1 RTP, appendix A). */
const DEPENDENCY_DESCRIPTOR =
  "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/** A receiving section of the offer. */
export interface Slot {
  readonly key: string;
  readonly accepts: Source;
  readonly transceiver: RTCRtpTransceiver;
}

export interface PeerEvents {
  notice(notice: ControlNotice): void;
  /** The control channel can be used. */
  ready(): void;
  /** Nothing flows at the moment. */
  faltered(): void;
  /** Media cannot flow over this connection any more. */
  lost(): void;
}

let peers = 0;

export class Peer {
  /** Tells connections apart in the workers. */
  readonly number: number;
  readonly slots: readonly Slot[];
  readonly #connection: RTCPeerConnection;
  readonly #channel: RTCDataChannel;
  readonly #senders: ReadonlyMap<Source, RTCRtpTransceiver>;
  readonly #tracks = new Turns((source: Source, track: MediaStreamTrack | null) =>
    this.#put(source, track),
  );
  readonly #workers: Workers;
  #agreed = false;
  #closed = false;
  #lostTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(workers: Workers, cameras: number, events: PeerEvents) {
    peers += 1;
    this.number = peers;
    this.#workers = workers;
    this.#connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.#channel = this.#connection.createDataChannel(CHANNEL_LABEL, { ordered: true });
    this.#channel.onopen = () => events.ready();
    this.#channel.onmessage = ({ data }) => {
      if (typeof data === "string") events.notice(JSON.parse(data) as ControlNotice);
    };
    this.#connection.onconnectionstatechange = () => this.#watch(events);

    this.#senders = new Map<Source, RTCRtpTransceiver>([
      ["microphone", this.#sending("microphone", [{ maxBitrate: 48_000 }])],
      ["camera", this.#sending("camera", encodingsFor(likelyCodec(), USUAL_HEIGHT, true))],
      ["screen", this.#sending("screen", [{ maxBitrate: 2_500_000 }])],
      ["screen_sound", this.#sending("screen_sound", [{ maxBitrate: 96_000 }])],
    ]);
    const counts = { ...SLOTS, camera: cameras };
    this.slots = (["microphone", "screen", "camera"] as const).flatMap((accepts) =>
      Array.from({ length: counts[accepts] }, (_, index) => this.#receiving(accepts, index)),
    );
  }

  /** How many cameras it can receive at once. */
  get cameras(): number {
    return this.slots.filter(({ accepts }) => accepts === "camera").length;
  }

  get state(): RTCPeerConnectionState {
    return this.#connection.connectionState;
  }

  /** The offer, to be posted at once: candidates of ours are not waited for. */
  async offer(): Promise<Extract<ClientMessage, { type: "offer" }>> {
    await this.#connection.setLocalDescription();
    const sdp = this.#connection.localDescription?.sdp ?? "";
    // Known before the first frame can flow in either direction: answers keep these numbers.
    const payloadTypes = payloadTypesOf(sdp);
    this.#workers.tellFrames({ type: "negotiated", peer: this.number, payloadTypes });
    const tracks = [...this.#senders].map(([source, transceiver]) => ({
      mid: midOf(transceiver),
      source,
    }));
    const slots = this.slots.map(({ transceiver, accepts }) => ({
      mid: midOf(transceiver),
      accepts,
    }));
    return { type: "offer", sdp, tracks, slots };
  }

  async accept(sdp: string): Promise<void> {
    if (this.#closed || this.#connection.signalingState !== "have-local-offer") return;
    await this.#connection.setRemoteDescription({ type: "answer", sdp });
    this.#agreed = true;
    // Fails as the track does that is put there next, and that is told.
    this.#tracks.again("camera").catch((error: unknown) => console.warn(error));
  }

  /** Puts a track on a sending section, or takes it off. */
  send(source: Source, track: MediaStreamTrack | null): Promise<void> {
    return this.#tracks.set(source, track);
  }

  async #put(source: Source, track: MediaStreamTrack | null): Promise<void> {
    const sender = this.#senders.get(source)?.sender;
    if (!sender || this.#closed) return;
    // Until the answer the codec is not known, and browsers let nobody change parameters that
    // they are changing themselves.
    if (source === "camera" && track && this.#agreed) {
      await setEncodings(sender, track.getSettings().height);
    }
    if (sender.track !== track) await sender.replaceTrack(track);
  }

  ask(request: ControlRequest): void {
    if (this.#channel.readyState === "open") this.#channel.send(JSON.stringify(request));
  }

  slotAt(mid: Mid): Slot | undefined {
    return this.slots.find((slot) => slot.transceiver.mid === mid);
  }

  /** Statistics of every inbound video, by the identifier of its track. */
  async inboundVideo(): Promise<Map<string, InboundVideo>> {
    const found = new Map<string, InboundVideo>();
    if (this.#closed) return found;
    const report = await this.#connection.getStats();
    for (const entry of report.values()) {
      if (entry.type !== "inbound-rtp" || entry.kind !== "video") continue;
      const slot = this.slots.find(
        ({ transceiver }) =>
          transceiver.mid === entry.mid || transceiver.receiver.track.id === entry.trackIdentifier,
      );
      if (slot) found.set(slot.key, entry as InboundVideo);
    }
    return found;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#lostTimer);
    this.#connection.close();
  }

  /** Browsers take half a minute to call a connection failed; a new one is up in less. */
  #watch(events: PeerEvents): void {
    clearTimeout(this.#lostTimer);
    if (this.#closed) return;
    const state = this.#connection.connectionState;
    if (state === "failed") events.lost();
    if (state === "disconnected") {
      events.faltered();
      this.#lostTimer = setTimeout(() => events.lost(), DISCONNECTED_MS);
    }
  }

  #sending(source: Source, sendEncodings: RTCRtpEncodingParameters[]): RTCRtpTransceiver {
    const kind = source === "camera" || source === "screen" ? "video" : "audio";
    const transceiver = this.#connection.addTransceiver(kind, {
      direction: "sendonly",
      sendEncodings,
    });
    transceiver.setCodecPreferences(preferred(kind, RTCRtpSender.getCapabilities(kind)));
    if (kind === "video") describe(transceiver);
    const options: SendOptions = { peer: this.number, source };
    transceiver.sender.transform = new RTCRtpScriptTransform(this.#workers.sealing, options);
    return transceiver;
  }

  #receiving(accepts: Slot["accepts"], index: number): Slot {
    const kind = accepts === "microphone" ? "audio" : "video";
    const transceiver = this.#connection.addTransceiver(kind, { direction: "recvonly" });
    transceiver.setCodecPreferences(preferred(kind, RTCRtpReceiver.getCapabilities(kind)));
    if (kind === "video") describe(transceiver);
    const key = `${accepts}-${index}`;
    const options: ReceiveOptions = { peer: this.number, slot: key, accepts };
    const worker = this.#workers.openingFor(accepts, index);
    transceiver.receiver.transform = new RTCRtpScriptTransform(worker, options);
    return { key, accepts, transceiver };
  }
}

/** The part of RTCInboundRtpStreamStats that we show. */
export interface InboundVideo {
  readonly framesDecoded?: number;
  readonly frameWidth?: number;
  readonly frameHeight?: number;
}

/** The codec that will be agreed upon: the server takes every one that we offer. */
function likelyCodec(): Codec {
  const [first] = preferred("video", RTCRtpSender.getCapabilities("video"));
  return codecOfMime(first?.mimeType ?? "") ?? "vp8";
}

async function setEncodings(sender: RTCRtpSender, height = USUAL_HEIGHT): Promise<void> {
  const parameters = sender.getParameters();
  const codec = codecOfMime(parameters.codecs[0]?.mimeType ?? "") ?? likelyCodec();
  const described = parameters.headerExtensions.some(({ uri }) => uri === DEPENDENCY_DESCRIPTOR);
  const encodings = encodingsFor(codec, height, described);
  for (const [index, encoding] of parameters.encodings.entries()) {
    Object.assign(encoding, encodings[index] ?? { active: false });
  }
  await sender.setParameters(parameters);
}

/** Chromium offers the descriptor by itself only where it sends several layers. */
function describe(transceiver: RTCRtpTransceiver & HeaderExtensions): void {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  const wanted = extensions?.find(({ uri }) => uri === DEPENDENCY_DESCRIPTOR);
  if (!extensions || !wanted) return;
  wanted.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate?.(extensions);
}

/** The part of RTCRtpTransceiver (WebRTC Extensions) that the page's type library lacks. */
interface HeaderExtensions {
  getHeaderExtensionsToNegotiate?(): { uri: string; direction: RTCRtpTransceiverDirection }[];
  setHeaderExtensionsToNegotiate?(extensions: readonly object[]): void;
}

function midOf(transceiver: RTCRtpTransceiver): Mid {
  if (transceiver.mid === null) throw new Error("a media section of the offer has no mid");
  return transceiver.mid;
}

/** The codecs that we can use, the best first. */
function preferred(
  kind: "audio" | "video",
  capabilities: RTCRtpCapabilities | null,
): RTCRtpCodec[] {
  const wanted = (kind === "audio" ? AUDIO_CODECS : VIDEO_CODECS).map((mime) => mime.toLowerCase());
  const rank = (codec: RTCRtpCodec) => wanted.indexOf(codec.mimeType.toLowerCase());
  const codecs = (capabilities?.codecs ?? []).filter(
    (codec) => rank(codec) >= 0 && isOurFormat(codec),
  );
  return codecs.sort((a, b) => rank(a) - rank(b));
}

function isOurFormat({ mimeType, sdpFmtpLine = "" }: RTCRtpCodec): boolean {
  if (codecOfMime(mimeType) !== "h264") return true;
  const format = sdpFmtpLine.toLowerCase().split(/[; ]+/);
  return H264_FORMAT.every((parameter) => format.includes(parameter));
}
