/**
 * Whose picture is in which slot. The server says what it put where; who it really is shows
 * from the key that opened the frames. A picture is only ever shown under the latter.
 */
import { isSamePlace, type Place } from "../crypto/holders";
import type { Member } from "../protocol/Member";
import type { Publication } from "../protocol/Publication";
import type { SlotFilling } from "../protocol/SlotFilling";
import type { Source } from "../protocol/Source";

/** A receiving slot as the worker that has it sees it. */
export interface BoundSlot {
  readonly key: string;
  readonly accepts: Source;
  /** The member whose key opened the last frame. */
  readonly holder: Place;
}

/** A picture that may be shown, under the name of the member at `leaf`. */
export interface Picture {
  readonly leaf: number;
  readonly source: "camera" | "screen";
  readonly slot: string;
}

/**
 * The pictures to show: of slots that are filled, by members who are in the group. Workers and
 * roster come different ways, so a leaf is not enough: it may be somebody else's in either. When
 * two slots carry the same picture, the one that was bound last has it.
 */
export function pictures(
  bound: readonly BoundSlot[],
  filled: { has(slot: string): boolean },
  roster: readonly Member[],
): Picture[] {
  const others = roster.filter((member) => !member.is_self);
  const members = new Map(others.map((member) => [member.leaf, member]));
  const found = new Map<string, Picture>();
  for (const { key, accepts, holder } of bound) {
    if (accepts !== "camera" && accepts !== "screen") continue;
    const { leaf } = holder;
    const member = members.get(leaf);
    if (!filled.has(key) || !member || !isSamePlace(member, holder)) continue;
    found.set(`${accepts} ${leaf}`, { leaf, source: accepts, slot: key });
  }
  return [...found.values()];
}

/** The pictures for which the way to us is too narrow now, by the server's word. */
export function pausedPictures(
  filled: ReadonlyMap<string, SlotFilling>,
  roster: readonly Member[],
): Picture[] {
  const leaves = new Map(roster.map(({ leaf, participant }) => [participant, leaf]));
  const found: Picture[] = [];
  for (const [slot, { participant, source, paused }] of filled) {
    const leaf = leaves.get(participant);
    if (!paused || leaf === undefined) continue;
    if (source === "camera" || source === "screen") found.push({ leaf, source, slot });
  }
  return found;
}

/** What everyone publishes, after the server has said what changed. */
export function publicationsAfter(
  before: readonly Publication[],
  changes: readonly Publication[],
): Publication[] {
  const changed = new Set(changes.map(({ participant }) => participant));
  const kept = before.filter(({ participant }) => !changed.has(participant));
  return [...kept, ...changes.filter(({ sources }) => sources.length > 0)];
}

/** The slots whose filling changed by the server's word, whoever is in them now. */
export function refilled(
  before: readonly SlotFilling[],
  after: readonly SlotFilling[],
): SlotFilling[] {
  const was = new Map(
    before.map(({ mid, participant, source }) => [mid, `${participant} ${source}`]),
  );
  return after.filter(
    ({ mid, participant, source }) => was.get(mid) !== `${participant} ${source}`,
  );
}

/**
 * Who speaks: those whom the server names and whose sound opens under their own key, so the
 * server cannot put words into anybody's mouth.
 */
export function speaking(
  named: readonly string[],
  heard: readonly Place[],
  roster: readonly Member[],
): Set<number> {
  const speakers = new Set(named);
  return new Set(
    roster
      .filter(({ participant }) => speakers.has(participant))
      .filter((member) => heard.some((holder) => isSamePlace(holder, member)))
      .map(({ leaf }) => leaf),
  );
}
