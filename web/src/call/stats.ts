/** What the page can say about a call in numbers. Nothing in it is secret. */

import type { Tally } from "../crypto/frames";
import type { FramesReport, IncomingReport, OutgoingReport } from "../crypto/messages";
import type { Member } from "../protocol/Member";
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
}

export interface CallStats {
  readonly phase: string;
  readonly connection: string | null;
  readonly members: number;
  readonly epoch: number | null;
  readonly joinToFirstFrameMs: number | null;
  readonly tiles: readonly TileStats[];
  /** Over all slots, sound included. */
  readonly framesOpened: number;
  readonly openFailures: Tally;
  readonly audio: readonly IncomingReport[];
  readonly outgoing: readonly OutgoingReport[];
}

export interface Facts {
  readonly phase: string;
  readonly connection: string | null;
  readonly members: number;
  readonly joinToFirstFrameMs: number | null;
  readonly roster: readonly Member[];
  readonly tiles: readonly Tile[];
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
    };
  });
  return {
    phase: facts.phase,
    connection: facts.connection,
    members: facts.members,
    epoch: facts.frames?.epoch ?? null,
    joinToFirstFrameMs: facts.joinToFirstFrameMs,
    tiles,
    framesOpened: incoming.reduce((sum, { opened }) => sum + opened, 0),
    openFailures: failures(incoming),
    audio: incoming.filter(({ accepts }) => accepts === "microphone"),
    outgoing: facts.frames?.outgoing ?? [],
  };
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
