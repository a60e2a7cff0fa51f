/** What a commit may do (docs/protocol.md §4), numbered as there. */
import type { LeafNode, PreSharedKeyID, Proposal } from "ts-mls";
import { type Decision, type Rules, readRules } from "./hosting";
import { type Identity, readCredential } from "./identity";
import type { Link } from "./link";

/** What the rules look at. */
export interface Move {
  /** The leaf that the commit is from, or none for an external commit. */
  sender: number | undefined;
  proposals: Proposal[];
  /** The leaf in the commit's path. */
  path: LeafNode | undefined;
}

export interface Scene {
  link: Link;
  /** Who is in the group before the commit, by leaf. */
  roster: Map<number, Identity>;
  own: number;
  /** Who is in the room, by the server's word. */
  present: Set<string>;
  /** Whose commit it is, by the server's word. */
  author: string;
  rules: Rules;
}

const MOST_MEMBERS = 1024;
const MEMBERS_CHANGES: readonly (string | number)[] = [
  "add",
  "remove",
  "psk",
  "group_context_extensions",
];

/** True for the pre-shared key of the room's link. */
export function isLinkKey(link: Link, id: PreSharedKeyID): boolean {
  return id.psktype === "external" && Buffer.from(id.pskId).equals(pskId(link));
}

export function pskId(link: Link): Buffer {
  return Buffer.concat([Buffer.from(`conclave 1 link ${link.room} `), link.key("psk-id")]);
}

function refuseUnless(holds: boolean, reason: string): asserts holds {
  if (!holds) throw new Error(reason);
}

/** Throws if the commit breaks a rule; says what it decides. */
export function examine(move: Move, scene: Scene): Decision {
  const { sender, proposals, path } = move;
  const kinds = proposals.map((proposal) => proposal.proposalType);
  const count = (kind: string) => kinds.filter((it) => it === kind).length;
  for (const proposal of proposals) {
    if (proposal.proposalType === "psk") {
      refuseUnless(isLinkKey(scene.link, proposal.psk.preSharedKeyId), "3: another key");
    }
  }
  const author = sender === undefined ? undefined : scene.roster.get(sender);
  const byHost = author !== undefined && scene.rules.hosts.includes(author.device.key);
  let { rules } = scene;
  let shownOut: string | undefined;
  const removals: string[] = [];
  const newcomers: LeafNode[] = [];
  if (sender === undefined) {
    refuseUnless(
      kinds.length === 2 && count("external_init") === 1 && count("psk") === 1,
      "2: more or less than the link",
    );
    refuseUnless(path !== undefined, "2: no leaf");
    newcomers.push(path);
  } else {
    refuseUnless(author?.participant === scene.author, "1: another author");
    refuseUnless(
      kinds.every((kind) => MEMBERS_CHANGES.includes(kind)),
      "3: another kind of change",
    );
    refuseUnless(count("psk") === (count("add") > 0 ? 1 : 0), "3: not the link, once");
  }
  for (const proposal of proposals) {
    if (proposal.proposalType === "add") newcomers.push(proposal.add.keyPackage.leafNode);
    if (proposal.proposalType === "remove") {
      const removed = scene.roster.get(proposal.remove.removed);
      refuseUnless(removed !== undefined, "6: removes nobody");
      removals.push(removed.participant);
      if (proposal.remove.removed === scene.own || scene.present.has(removed.participant)) {
        refuseUnless(byHost, "6: removes somebody who is here");
        refuseUnless(shownOut === undefined, "6: removes several who are here");
        shownOut = removed.participant;
      }
    }
    if (proposal.proposalType === "group_context_extensions") {
      refuseUnless(byHost, "9: not a host");
      rules = readRules(proposal.groupContextExtensions.extensions);
    }
  }
  const changesLink = rules.link !== scene.rules.link;
  refuseUnless(
    !changesLink || rules.link === scene.rules.link + 1,
    "9: another link than the next",
  );
  refuseUnless(!changesLink || count("add") === 0, "9: brings people in with a new link");
  const known = new Set([...scene.roster.values()].map((member) => member.participant));
  for (const leaf of newcomers) {
    const { participant, device } = readCredential(
      scene.link.room,
      leaf.credential,
      leaf.signaturePublicKey,
    );
    refuseUnless(!scene.rules.barred.includes(device.key), "11: barred");
    const invited = byHost || (sender === undefined && scene.rules.hosts.includes(device.key));
    refuseUnless(scene.rules.door === "open" || invited, "11: past the hosts");
    refuseUnless(!known.has(participant), "4: a participant twice");
    known.add(participant);
    if (sender === undefined) refuseUnless(participant === scene.author, "1: another author");
  }
  refuseUnless(
    scene.roster.size + newcomers.length - count("remove") <= MOST_MEMBERS,
    "7: too many members",
  );
  const changesRules = count("group_context_extensions") > 0;
  return { byHost, rules, changesRules, changesLink, shownOut, removed: removals };
}
