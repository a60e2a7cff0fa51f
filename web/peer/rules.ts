/** What a commit may do (docs/protocol.md §4), numbered as there. */
import type { LeafNode, PreSharedKeyID, Proposal } from "ts-mls";
import { type Identity, readCredential } from "./identity";

/** What the rules look at. */
export interface Move {
  /** The leaf that the commit is from, or none for an external commit. */
  sender: number | undefined;
  proposals: Proposal[];
  /** The leaf in the commit's path. */
  path: LeafNode | undefined;
}

export interface Scene {
  room: string;
  /** Who is in the group before the commit, by leaf. */
  roster: Map<number, Identity>;
  own: number;
  /** Who is in the room, by the server's word. */
  present: Set<string>;
  /** Whose commit it is, by the server's word. */
  author: string;
}

const MOST_MEMBERS = 1024;

/** True for the pre-shared key of the room's link. */
export function isLinkKey(room: string, id: PreSharedKeyID): boolean {
  return id.psktype === "external" && Buffer.from(id.pskId).equals(pskId(room));
}

export function pskId(room: string): Buffer {
  return Buffer.from(`conclave 1 link ${room}`);
}

function refuseUnless(holds: boolean, reason: string): asserts holds {
  if (!holds) throw new Error(reason);
}

/** Throws if the commit breaks a rule. */
export function examine(move: Move, scene: Scene): void {
  const { sender, proposals, path } = move;
  const kinds = proposals.map((proposal) => proposal.proposalType);
  const count = (kind: string) => kinds.filter((it) => it === kind).length;
  for (const proposal of proposals) {
    if (proposal.proposalType === "psk") {
      refuseUnless(isLinkKey(scene.room, proposal.psk.preSharedKeyId), "3: another key");
    }
  }
  const newcomers: LeafNode[] = [];
  if (sender === undefined) {
    refuseUnless(
      kinds.length === 2 && count("external_init") === 1 && count("psk") === 1,
      "2: more or less than the link",
    );
    refuseUnless(path !== undefined, "2: no leaf");
    newcomers.push(path);
  } else {
    refuseUnless(scene.roster.get(sender)?.participant === scene.author, "1: another author");
    refuseUnless(
      kinds.every((kind) => kind === "add" || kind === "remove" || kind === "psk"),
      "3: another kind of change",
    );
    refuseUnless(count("psk") === (count("add") > 0 ? 1 : 0), "3: not the link, once");
  }
  for (const proposal of proposals) {
    if (proposal.proposalType === "add") newcomers.push(proposal.add.keyPackage.leafNode);
    if (proposal.proposalType === "remove") {
      const removed = scene.roster.get(proposal.remove.removed);
      refuseUnless(
        removed !== undefined &&
          proposal.remove.removed !== scene.own &&
          !scene.present.has(removed.participant),
        "6: removes somebody who is here",
      );
    }
  }
  const known = new Set([...scene.roster.values()].map((member) => member.participant));
  for (const leaf of newcomers) {
    const { participant } = readCredential(scene.room, leaf.credential, leaf.signaturePublicKey);
    refuseUnless(!known.has(participant), "4: a participant twice");
    known.add(participant);
    if (sender === undefined) refuseUnless(participant === scene.author, "1: another author");
  }
  refuseUnless(
    scene.roster.size + newcomers.length - count("remove") <= MOST_MEMBERS,
    "7: too many members",
  );
}
