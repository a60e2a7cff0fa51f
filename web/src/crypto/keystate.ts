/**
 * How it stands with the keys of what arrives: derived from what the workers have counted,
 * without keys and without a clock of its own.
 */
import type { Member } from "../protocol/Member";
import type { SlotFilling } from "../protocol/SlotFilling";
import type { Source } from "../protocol/Source";
import { isSamePlace, type Place } from "./holders";

/**
 * - `current`: frames open with the newest epoch's key that we have.
 * - `behind`: frames open with an older one, which we still have.
 * - `waiting`: frames arrive whose key is not here. They are held, and shown to nobody.
 * - `unreadable`: frames arrive that none of the call's keys has sealed.
 * - `silent`: no frames arrive.
 */
export type KeyState = "current" | "behind" | "waiting" | "unreadable" | "silent";

/** Frames of one kind that came after each other, by the milliseconds that have passed since. */
export interface Spell {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** What a slot has to tell of the frames that arrived in it. */
export interface Arrivals {
  /** Of the last frame that opened, by its authenticated key id; null when none has. */
  readonly epoch: number | null;
  /** Milliseconds since that frame. */
  readonly idleMs: number | null;
  /** Frames without a key, since the last one that opened. */
  readonly waiting: Spell | null;
  /** Frames that failed authentication, since the last one that opened. */
  readonly failing: Spell | null;
}

/** Who waits for less than this does not notice: an epoch's key is on its way for that long. */
const WAITING_AFTER_MS = 500;
/** A frame spoilt on its way is no reason to alarm anybody. */
const UNREADABLE_AFTER_MS = 2_000;
/** What has not come for this long comes no more. A screen that stands still sends once a second. */
export const SILENT_AFTER_MS = 4_000;

/** @param newest the newest epoch whose key we have */
export function keyState(arrivals: Arrivals, newest: number | null): KeyState {
  const { epoch, idleMs, waiting, failing } = arrivals;
  const lasts = (spell: Spell | null, ms: number) =>
    spell !== null && spell.firstMs >= ms && spell.lastMs < SILENT_AFTER_MS;
  if (lasts(failing, UNREADABLE_AFTER_MS)) return "unreadable";
  if (lasts(waiting, WAITING_AFTER_MS)) return "waiting";
  if (epoch === null || idleMs === null || idleMs >= SILENT_AFTER_MS) return "silent";
  return newest !== null && epoch < newest ? "behind" : "current";
}

/** The state of what one member sends in one slot. */
export interface SlotKeys {
  readonly slot: string;
  readonly leaf: number;
  readonly accepts: Source;
  readonly state: KeyState;
}

/**
 * The states of all slots that somebody fills. Whose frames open shows from their keys. Whose
 * frames do not open only the server can say: good enough for a hint on a tile, and for no picture.
 */
export function slotKeys(
  slots: readonly (Arrivals & {
    readonly slot: string;
    readonly accepts: Source;
    readonly holder: Place | null;
  })[],
  newest: number | null,
  filled: ReadonlyMap<string, SlotFilling>,
  roster: readonly Member[],
): SlotKeys[] {
  const leaves = new Map(roster.map(({ leaf, participant }) => [participant, leaf]));
  const members = new Map(roster.map((member) => [member.leaf, member]));
  const leafOf = (holder: Place | null): number | undefined => {
    const member = holder && members.get(holder.leaf);
    return member && isSamePlace(member, holder) ? member.leaf : undefined;
  };
  const found: SlotKeys[] = [];
  for (const { slot, accepts, holder, ...arrivals } of slots) {
    const filling = filled.get(slot);
    if (!filling) continue;
    const state = keyState(arrivals, newest);
    const named = leaves.get(filling.participant);
    const leaf = blocked(state) ? named : (leafOf(holder) ?? named);
    if (leaf !== undefined) found.push({ slot, leaf, accepts, state });
  }
  return found;
}

/** Frames come, and nothing of them can be shown. */
export const blocked = (state: KeyState): boolean => state === "waiting" || state === "unreadable";

/** The first of these that any of the states is says most about all of them. */
const GRAVEST: readonly KeyState[] = ["unreadable", "waiting", "behind", "current"];

/** One state for several slots of the same member. */
export function gravest(states: readonly KeyState[]): KeyState {
  return GRAVEST.find((state) => states.includes(state)) ?? "silent";
}
