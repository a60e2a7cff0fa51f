/** Loud warnings about people who may not be who they seem to be. */
import type { Member } from "../protocol/Member";
import { type Judgement, nameKey } from "./known";

/** What is known of those whose name somebody has on another device. */
export interface Namesakes {
  /** Whether the person whose name it is was verified, on another device. */
  readonly wasVerified: boolean;
  /** Whether somebody else in the call has the name, on a device that is known under it. */
  readonly beside: boolean;
}

export interface Alarm extends Namesakes {
  /** The same for a device under a name, however often it comes and goes. */
  readonly key: string;
  readonly kind: "changed" | "differs";
  readonly member: Member;
  /** False once they have left. What happened may still matter. */
  readonly present: boolean;
}

/** So many warnings are kept about people who have left. */
const MOST_GONE = 10;

export function alarmKey({ device, name }: Pick<Member, "device" | "name">): string {
  return `${device} ${nameKey(name)}`;
}

/** @param here the devices that are in the call */
export function namesakes({ others }: Judgement, here: ReadonlySet<string>): Namesakes {
  return {
    wasVerified: others.some(({ verified }) => verified !== null),
    beside: others.some(({ device }) => here.has(device)),
  };
}

/** The warnings after the roster, or what is known of it, has changed. */
export function alarmsAfter(
  before: readonly Alarm[],
  roster: readonly Member[],
  judged: ReadonlyMap<number, Judgement>,
  dismissed: ReadonlySet<string>,
): readonly Alarm[] {
  const devices = new Set(roster.map(({ device }) => device));
  const now = new Map<string, Alarm>();
  for (const member of roster) {
    const judgement = judged.get(member.leaf);
    const kind = judgement?.standing;
    const key = alarmKey(member);
    if (!judgement || (kind !== "changed" && kind !== "differs") || dismissed.has(key)) continue;
    now.set(key, { key, kind, member, ...namesakes(judgement, devices), present: true });
  }
  const here = new Set(roster.map(alarmKey));
  const gone = before.filter(({ key }) => !here.has(key)).map(leave);
  const stay = before.flatMap(({ key }) => now.get(key) ?? []);
  const come = [...now.values()].filter(({ key }) => !before.some((alarm) => alarm.key === key));
  return [...gone.slice(-MOST_GONE), ...stay, ...come];
}

const leave = (alarm: Alarm): Alarm => ({ ...alarm, present: false });
