/** The people in the call, as the group's keys know them. */
import type { Member } from "../protocol/Member";

export interface RosterChange {
  readonly joined: readonly Member[];
  readonly left: readonly Member[];
}

/** Who came and who went. Somebody who reconnected is a new participant at a new leaf. */
export function rosterChange(before: readonly Member[], after: readonly Member[]): RosterChange {
  const missingFrom = (list: readonly Member[]) => {
    const known = new Set(list.map(({ participant }) => participant));
    return (member: Member) => !member.is_self && !known.has(member.participant);
  };
  return { joined: after.filter(missingFrom(before)), left: before.filter(missingFrom(after)) };
}

/** Characters that are not shown, or that change how others are. No name may contain them. */
const INVISIBLE = /[\p{Cc}\p{Cf}\u2028\u2029\u2065\u2800\u{1d159}]/gu;

/** What somebody typed, as the name that the others will see. */
export function cleanName(typed: string): string {
  return typed.replace(/\s+/gu, " ").replace(INVISIBLE, "").trim();
}

/** One or two letters for somebody whose picture is not there. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const first = [...(words[0] ?? "?")][0] ?? "?";
  const last = words.length > 1 ? ([...(words.at(-1) ?? "")][0] ?? "") : "";
  return (first + last).toLocaleUpperCase();
}

/** One of a small number of colours, the same for a name on every screen. */
export function tint(name: string, tints: number): number {
  let hash = 2166136261;
  for (const character of name) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16777619);
  }
  return (hash >>> 0) % tints;
}
