/** What the page can say about a call in numbers. Nothing in it is secret. */

import type { Tally } from "../crypto/frames";
import { gravest, type KeyState, type SlotKeys } from "../crypto/keystate";
import type { FramesReport, IncomingReport, OutgoingReport } from "../crypto/messages";
import type { Member } from "../protocol/Member";
import type { Source } from "../protocol/Source";
import type { InboundVideo } from "./peer";
import type { Tile } from "./stage";

/** Dropped quietly by design, so no failures. */
const HARMLESS = ["duplicate", "empty"];

export interface TileStats {
  readonly leaf: number;
  readonly name: string;
  readonly self: boolean;
  readonly source: "camera" | "screen";
  readonly slot: string | null;
  readonly framesOpened: number;
  readonly framesDecoded: number;
  readonly width: number;
  readonly height: number;
  readonly openFailures: Tally;
  readonly keys: KeyState;
}

/** How it stands with the keys of one of the others, over all that they send. */
export interface MemberStats {
  readonly leaf: number;
  readonly name: string;
  /** The epoch whose key last opened a frame of theirs. */
  readonly epoch: number | null;
  readonly keys: KeyState;
}

export interface CallStats {
  readonly phase: string;
  readonly connection: string | null;
  readonly members: number;
  /** The epoch that we seal with. */
  readonly epoch: number | null;
  /** The newest epoch whose key we have. */
  readonly newestEpoch: number | null;
  readonly joinToFirstFrameMs: number | null;
  readonly tiles: readonly TileStats[];
  readonly others: readonly MemberStats[];
  /** Over all slots, sound included. */
  readonly framesOpened: number;
  readonly openFailures: Tally;
  readonly incoming: readonly IncomingReport[];
  readonly outgoing: readonly OutgoingReport[];
}

export interface Facts {
  readonly phase: string;
  readonly connection: string | null;
  readonly members: number;
  readonly joinToFirstFrameMs: number | null;
  readonly roster: readonly Member[];
  readonly tiles: readonly Tile[];
  readonly keys: readonly SlotKeys[];
  readonly frames: FramesReport | undefined;
  readonly video: ReadonlyMap<string, InboundVideo>;
}

export function collectStats(facts: Facts): CallStats {
  const incoming = facts.frames?.incoming ?? [];
  const tiles = facts.tiles.map(({ leaf, self, source, slot }): TileStats => {
    const counted = incoming.find((candidate) => candidate.slot === slot);
    const video = slot === undefined ? undefined : facts.video.get(slot);
    return {
      leaf,
      name: facts.roster.find((member) => member.leaf === leaf)?.name ?? "",
      self,
      source,
      slot: slot ?? null,
      framesOpened: counted?.opened ?? 0,
      framesDecoded: video?.framesDecoded ?? 0,
      width: video?.frameWidth ?? 0,
      height: video?.frameHeight ?? 0,
      openFailures: failures(counted ? [counted] : []),
      keys: keysOf(facts.keys, leaf, source),
    };
  });
  const others = facts.roster
    .filter(({ is_self }) => !is_self)
    .map(({ leaf, name }) => ({
      leaf,
      name,
      epoch: facts.frames?.lastEpochs.get(leaf) ?? null,
      keys: keysOf(facts.keys, leaf),
    }));
  return {
    phase: facts.phase,
    connection: facts.connection,
    members: facts.members,
    epoch: facts.frames?.epoch ?? null,
    newestEpoch: facts.frames?.newest ?? null,
    joinToFirstFrameMs: facts.joinToFirstFrameMs,
    tiles,
    others,
    framesOpened: incoming.reduce((sum, { opened }) => sum + opened, 0),
    openFailures: failures(incoming),
    incoming,
    outgoing: facts.frames?.outgoing ?? [],
  };
}

/** The state of what a member sends: of one source, or of all. */
export function keysOf(keys: readonly SlotKeys[], leaf: number, source?: Source): KeyState {
  const theirs = keys.filter(
    (slot) => slot.leaf === leaf && (source === undefined || slot.accepts === source),
  );
  return gravest(theirs.map(({ state }) => state));
}

function failures(slots: readonly IncomingReport[]): Tally {
  const sum: Tally = {};
  for (const { dropped } of slots) {
    for (const [reason, times] of Object.entries(dropped)) {
      if (!HARMLESS.includes(reason)) sum[reason] = (sum[reason] ?? 0) + times;
    }
  }
  return sum;
}
