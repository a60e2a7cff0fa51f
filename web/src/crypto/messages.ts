/** What the page and its workers say to each other. No message to the page holds a key. */
import type { ClientMessage } from "../protocol/ClientMessage";
import type { HostRequest } from "../protocol/HostRequest";
import type { ServerMessage } from "../protocol/ServerMessage";
import type { SharedFile } from "../protocol/SharedFile";
import type { Source } from "../protocol/Source";
import type { PayloadTypes } from "./codec";
import type { Tally } from "./frames";
import type { Holder, Tenure } from "./holders";
import type { Arrivals } from "./keystate";
import type { MembershipOutput } from "./wasm";

/** From the session worker to all that seal or open frames, over channels of their own. */
export type KeyMessage =
  /** A new membership begins: nothing from the one before may be used again. */
  { readonly type: "reset" } | { readonly type: "forget"; readonly epoch: number };

/** To the one worker that seals. */
export type SealingKeyMessage =
  | KeyMessage
  | {
      readonly type: "install";
      readonly epoch: number;
      readonly leaf: number;
      /** Wiped by whoever holds it last. */
      readonly key: Uint8Array;
    }
  | { readonly type: "seal_with"; readonly epoch: number };

/** To each worker that opens. */
export type OpeningKeyMessage =
  | KeyMessage
  | {
      readonly type: "install";
      readonly epoch: number;
      /** Wiped by whoever holds it last. */
      readonly key: Uint8Array;
      /** The same for all workers that get this key: what they open, they enter there. */
      readonly ledger: ArrayBufferLike;
      /** Who is in the group from this epoch on. */
      readonly holders: readonly Holder[];
    }
  /** What came after this epoch was annulled: its keys are of no use, and its holders count again. */
  | ({ readonly type: "back" } & Tenure);

export type SessionCommand =
  | {
      readonly type: "start";
      readonly module: WebAssembly.Module;
      /** To the one worker that gets keys to seal with. */
      readonly sealing: MessagePort;
      readonly opening: readonly MessagePort[];
    }
  | {
      readonly type: "join";
      readonly url: string;
      readonly room: string;
      readonly secret: string;
      /** For the server's door. */
      readonly invite: string | undefined;
      readonly name: string;
    }
  | { readonly type: "offer"; readonly offer: Extract<ClientMessage, { type: "offer" }> }
  | { readonly type: "chat"; readonly text: string }
  /** Tell the others of a file that is stored. It comes back as a line of the chat, or is lost. */
  | { readonly type: "share_file"; readonly file: SharedFile }
  | { readonly type: "host"; readonly request: HostRequest }
  | { readonly type: "leave" }
  /** The network may have changed: see whether the line still stands. */
  | { readonly type: "check" };

/** The server's messages that concern the page; the others end in the session worker. */
export type PageMessage = Extract<
  ServerMessage,
  {
    type:
      | "joined"
      | "answer"
      | "participant_away"
      | "participant_back"
      | "stranger_refused"
      | "error";
  }
>;

export type SessionEvent =
  | { readonly type: "server"; readonly message: PageMessage }
  | { readonly type: "membership"; readonly output: PageOutput }
  /** We take part with this browser's lasting key, or with one that is gone after the call. */
  | { readonly type: "device"; readonly lasting: boolean }
  /** The server knows us by this. It opens the files of the call, which it cannot read. */
  | { readonly type: "session"; readonly token: string }
  /** The line to the server broke. It comes back, or is closed. */
  | { readonly type: "broke" }
  /** The line is back, and our place with it. */
  | { readonly type: "back"; readonly hasMedia: boolean }
  /** The line to the server is gone, or never came about. */
  | { readonly type: "closed" }
  /** A line of chat could not be sealed: we are not in the group, or it is too long. */
  | { readonly type: "chat_refused"; readonly text: string }
  /** What a host asked for could not be done. */
  | { readonly type: "host_refused"; readonly reason: string }
  /** The call's link has another secret from now on. */
  | { readonly type: "link"; readonly secret: string }
  /** Something here broke: a message that could not be taken, a module that did not load. */
  | { readonly type: "broken"; readonly detail: string };

/** What the membership puts out, less the messages that are for the server. */
export type PageOutput = Exclude<MembershipOutput, { type: "send" }>;

/** Goes with each RTCRtpScriptTransform. `peer` numbers the peer connections. */
export interface TransformOptions {
  readonly peer: number;
}

export interface SendOptions extends TransformOptions {
  readonly source: Source;
}

export interface ReceiveOptions extends TransformOptions {
  readonly slot: string;
  readonly accepts: Source;
}

interface FramesStart {
  readonly type: "start";
  readonly module: WebAssembly.Module;
  /** Its end of the channel over which it gets its keys. */
  readonly keys: MessagePort;
}

export type FramesCommand =
  /** Frames of this connection have these payload types; those of earlier ones are over. */
  | { readonly type: "negotiated"; readonly peer: number; readonly payloadTypes: PayloadTypes }
  | { readonly type: "report"; readonly id: number };

export type SealingCommand = FramesStart | FramesCommand;

export type OpeningCommand =
  | (FramesStart & {
      /** Tells the opening workers apart in their ledger; counted from 0. */
      readonly number: number;
    })
  | FramesCommand
  /** The server says that someone else fills the slot: tell again who it is. */
  | { readonly type: "unbind"; readonly slot: string };

export type SealingEvent =
  /** There is a key to seal with from now on. */
  | { readonly type: "sealing"; readonly epoch: number }
  | { readonly type: "report"; readonly id: number; readonly report: SealingReport }
  | { readonly type: "broken"; readonly detail: string };

export type OpeningEvent =
  /** The first frame of someone new opened in this slot. */
  | {
      readonly type: "bound";
      readonly peer: number;
      readonly slot: string;
      readonly holder: Holder;
    }
  | { readonly type: "report"; readonly id: number; readonly report: OpeningReport }
  | { readonly type: "broken"; readonly detail: string };

/** What the call hears of its frames. */
export type FramesEvent = Exclude<SealingEvent | OpeningEvent, { type: "report" }>;

export interface OutgoingReport {
  readonly source: Source;
  readonly sealed: number;
  readonly held: Tally;
}

export interface IncomingReport extends Arrivals {
  readonly slot: string;
  /** Which of the opening workers has it. */
  readonly worker: number;
  readonly accepts: Source;
  /** Whose key opened the last frame. */
  readonly holder: Holder | null;
  readonly opened: number;
  /** Of them those that had to wait for their key. */
  readonly late: number;
  readonly dropped: Tally;
}

export interface SealingReport {
  /** The epoch that we seal with. */
  readonly epoch: number | null;
  readonly outgoing: readonly OutgoingReport[];
}

export interface OpeningReport {
  /** The newest epoch whose key we have. */
  readonly newest: number | null;
  /** By leaf, the epoch whose key last opened a frame of that member. */
  readonly lastEpochs: ReadonlyMap<number, number>;
  readonly incoming: readonly IncomingReport[];
}

/** Of all workers together. */
export type FramesReport = SealingReport & OpeningReport;
