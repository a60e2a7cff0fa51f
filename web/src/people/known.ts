/**
 * Who is who, as far as this browser remembers: devices that were met, under which names, and
 * what the person said about them. Trust on first use: who was met before is known.
 */
import type { Member } from "../protocol/Member";

/** A device that was met. Times are in milliseconds since 1970. */
export interface Acquaintance {
  /** Its public key, in hexadecimal. */
  readonly device: string;
  /** The names that it had, the latest last. */
  readonly names: readonly string[];
  readonly firstSeen: number;
  readonly lastSeen: number;
  /** When the person said that the digits are the same. */
  readonly verified: number | null;
  /** When the person said that the digits differ. */
  readonly differed: number | null;
}

/** By device. */
export type Known = ReadonlyMap<string, Acquaintance>;

/** Somebody as they appear in a call. */
export type Met = Pick<Member, "device" | "name">;

export type Standing =
  /** This very browser, in another window. */
  | "own"
  /** Not met before this call. */
  | "new"
  | "known"
  | "verified"
  /** Has the name of somebody known, on a device that is not known under it. */
  | "changed"
  /** The digits did not agree when they were compared. */
  | "differs";

export interface Judgement {
  readonly standing: Standing;
  /** The devices that are known under this name, when this is none of them. */
  readonly others: readonly Acquaintance[];
  /** What this device was called before, if that is another name. */
  readonly formerly: string | undefined;
}

const OWN: Judgement = { standing: "own", others: [], formerly: undefined };

/** Devices have few names. Of those that collect them, no more than this are remembered. */
const MOST_NAMES = 8;
/** So that a long call does not write all the time. */
const NOTE_INTERVAL_MS = 60 * 60 * 1000;

/**
 * What leaves nothing to see in a name, or a gap: white space, format and control characters, and
 * signs that are blank by design (Braille without dots, a note without a head, a Khitan filler).
 */
const BLANK = /[\s\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\u2800\u{1d159}\u{16fe4}]/gu;

/** Two names that people would take for the same are equal in this form. */
export function nameKey(name: string): string {
  const visible = name.normalize("NFKC").replace(BLANK, "");
  // Both ways, since "ß" and "SS" differ in lower case.
  return visible.toUpperCase().toLowerCase().normalize("NFKC");
}

const isNewName = (acquaintance: Acquaintance, key: string) =>
  acquaintance.names.length < MOST_NAMES && !goesBy(acquaintance, key);

const goesBy = (acquaintance: Acquaintance, key: string) =>
  acquaintance.names.some((name) => nameKey(name) === key);

/** What to think of everyone but oneself, by their leaves. Who was first met at `since` is new. */
export function judge(
  roster: readonly Member[],
  known: Known,
  since: number,
): ReadonlyMap<number, Judgement> {
  const own = roster.find((member) => member.is_self)?.device;
  const byName = new Map<string, Acquaintance[]>();
  for (const acquaintance of known.values()) {
    for (const key of new Set(acquaintance.names.map(nameKey))) {
      byName.set(key, [...(byName.get(key) ?? []), acquaintance]);
    }
  }
  const others = roster.filter((member) => !member.is_self);
  return new Map(
    others.map((member) => {
      if (member.device === own) {
        return [member.leaf, OWN];
      }
      const namesakes = byName.get(nameKey(member.name)) ?? [];
      return [member.leaf, judgeOne(member, known.get(member.device), namesakes, since)];
    }),
  );
}

/** What to think of one who is not in the call. `own` is the device that this browser has. */
export function judgeVisitor(
  met: Met,
  known: Known,
  since: number,
  own: string | undefined,
): Judgement {
  if (met.device === own) return OWN;
  const key = nameKey(met.name);
  const namesakes = [...known.values()].filter((acquaintance) => goesBy(acquaintance, key));
  return judgeOne(met, known.get(met.device), namesakes, since);
}

function judgeOne(
  { device, name }: Met,
  met: Acquaintance | undefined,
  namesakes: readonly Acquaintance[],
  since: number,
): Judgement {
  const here = namesakes.some((acquaintance) => acquaintance.device === device);
  const others = here ? [] : namesakes;
  const last = met?.names.at(-1);
  const formerly = last !== undefined && nameKey(last) !== nameKey(name) ? last : undefined;
  const standing = (): Standing => {
    if (met && met.differed !== null) return "differs";
    // Also for a verified device: the mark was for another name.
    if (others.length > 0) return "changed";
    if (!met) return "new";
    if (met.verified !== null) return "verified";
    return met.firstSeen >= since ? "new" : "known";
  };
  return { standing: standing(), others, formerly };
}

/** Whether there is something about this meeting that is not written down yet. */
export function isNews(before: Acquaintance | undefined, met: Met, now: number): boolean {
  if (!before) return true;
  if (now - before.lastSeen > NOTE_INTERVAL_MS) return true;
  return before.differed === null && isNewName(before, nameKey(met.name));
}

/** The device was met under this name. No mark is lost or given. */
export function noted(before: Acquaintance | undefined, met: Met, now: number): Acquaintance {
  const { device, name } = met;
  if (!before) {
    const marks = { verified: null, differed: null };
    return { device, names: [name], firstSeen: now, lastSeen: now, ...marks };
  }
  const lastSeen = Math.max(before.lastSeen, now);
  // An impostor's device does not come to own the name.
  if (before.differed !== null) return { ...before, lastSeen };
  const key = nameKey(name);
  const others = before.names.filter((old) => nameKey(old) !== key);
  const full = others.length === MOST_NAMES;
  return { ...before, names: full ? before.names : [...others, name], lastSeen };
}

/** The person said that the digits are the same. */
export function verified(before: Acquaintance | undefined, met: Met, now: number): Acquaintance {
  const cleared = before && { ...before, differed: null };
  return { ...noted(cleared, met, now), verified: now };
}

/** The person said that the digits differ. */
export function differing(before: Acquaintance | undefined, met: Met, now: number): Acquaintance {
  return { ...noted(before, met, now), verified: null, differed: now };
}

/** The person took back what they said. */
export function unmarked(before: Acquaintance | undefined, met: Met, now: number): Acquaintance {
  return { ...(before ?? noted(before, met, now)), verified: null, differed: null };
}

/** Whom to forget when more than so many were met: never those with a mark. */
export function surplus(known: Known, most: number): readonly string[] {
  const unmarked = [...known.values()].filter(
    ({ verified, differed }) => verified === null && differed === null,
  );
  unmarked.sort((a, b) => a.lastSeen - b.lastSeen);
  return unmarked.slice(0, Math.max(0, known.size - most)).map(({ device }) => device);
}

/** Takes a record only if it has the right form: older versions may have written another. */
export function readAcquaintance(stored: unknown): Acquaintance | undefined {
  if (typeof stored !== "object" || stored === null) return undefined;
  const { device, names, firstSeen, lastSeen, verified, differed } =
    stored as Partial<Acquaintance>;
  const isTime = (time: unknown) => typeof time === "number";
  const isMark = (time: unknown) => time === null || isTime(time);
  const right =
    typeof device === "string" &&
    Array.isArray(names) &&
    names.every((name) => typeof name === "string") &&
    [firstSeen, lastSeen].every(isTime) &&
    [verified, differed].every(isMark);
  return right ? (stored as Acquaintance) : undefined;
}
