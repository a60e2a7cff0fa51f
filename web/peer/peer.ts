/**
 * A second client of Conclave, written from docs/protocol.md on another implementation of MLS, to
 * see that what the document says is what the first one does. It has no clock: it asks for nothing
 * twice, and wipes no keys.
 */
import type { ClientMessage } from "../src/protocol/ClientMessage";
import type { GroupDoor } from "../src/protocol/GroupDoor";
import type { GroupState } from "../src/protocol/GroupState";
import type { Knock } from "../src/protocol/Knock";
import type { ServerMessage } from "../src/protocol/ServerMessage";
import { pairCode } from "./digits";
import { comeInAlone } from "./external";
import { Group, type NewEpoch, readKeyPackage, Stay } from "./group";
import { examineAnnouncement } from "./hosting";
import { Device, type Identity, readCredential } from "./identity";
import type { Link } from "./link";
import { examine } from "./rules";

const MOST_AT_ONCE = 25;
/** The commits of larger groups go without the group's state. */
const CARRIED_UP_TO = 32;

type Committed = ServerMessage & { type: "committed" };

export class Peer {
  readonly device = new Device();
  readonly refusals: string[] = [];
  readonly chat: { name: string; text: string }[] = [];
  readonly baseKeys = new Map<number, Uint8Array>();
  /** As long as nothing was thrown. */
  readonly failure: undefined;
  participant = "";
  group: Group | undefined;
  /** The host who removed this client from the call. */
  shownOutBy: string | undefined;
  #stay: Stay | undefined;
  #founding: Group | undefined;
  #roster = new Map<number, Identity>();
  #present = new Set<string>();
  #pending: { sealed: string; group: Group } | undefined;
  #undo: { group: Group; link: Link; author: string; commit: string } | undefined;
  readonly #annulled = new Set<string>();
  #ownLines = new Map<string, string>();
  #last = 0;
  #said: ClientMessage[] = [];

  constructor(
    /** A host may change it. */
    public link: Link,
    readonly name: string,
  ) {}

  join(): ClientMessage {
    const auth = Buffer.from(this.link.key("room-auth")).toString("base64url");
    return { type: "join", version: 1, room: this.link.room, room_auth: auth };
  }

  get epoch(): number {
    return this.inside.epoch;
  }

  get callCode(): string {
    return this.inside.callCode();
  }

  /** Who is in the group, by leaf. */
  get people() {
    const identities = [...this.#roster.values()];
    return identities.map(({ participant, name, device }) => ({
      participant,
      name,
      device: device.key,
    }));
  }

  /** The code of this device and another member's. */
  pairCode(name: string): string | undefined {
    const other = this.people.find((it) => it.name === name);
    return other && pairCode(this.device.key, other.device);
  }

  /** Takes in what the server says, and says what there is to say. */
  async hear(message: ServerMessage): Promise<ClientMessage[]> {
    if ("sequence" in message) {
      if (message.sequence <= this.#last) return [];
      this.#last = message.sequence;
    }
    switch (message.type) {
      case "joined":
        this.participant = message.participant;
        this.#present = new Set([...message.others, message.participant]);
        await this.#comeIn(message.group);
        break;
      case "group_created":
        if (this.#founding !== undefined) await this.#arrive(this.#founding);
        break;
      case "stale":
        this.#pending = undefined;
        if (message.group !== null && this.#stay !== undefined) await this.#comeIn(message.group);
        else await this.#removeGone();
        break;
      case "welcomed":
        if (this.group === undefined) await this.#enter(message.epoch, message.welcome);
        break;
      case "committed":
        await this.#onCommitted(message);
        break;
      case "commit_annulled":
        this.#onAnnulled(message.author, message.epoch);
        break;
      case "show_group":
        if (this.group?.epoch === message.epoch) await this.#show(this.group);
        break;
      case "admit":
        await this.#admit(message.knocks);
        break;
      case "delivered":
        await this.#onDelivered(message.message);
        break;
      case "participant_joined":
        this.#present.add(message.participant);
        break;
      case "participant_left":
        this.#present.delete(message.participant);
        await this.#removeGone();
        break;
    }
    const said = this.#said;
    this.#said = [];
    return said;
  }

  async say(text: string): Promise<ClientMessage> {
    const json = new TextEncoder().encode(JSON.stringify({ type: "chat", text }));
    const sent = await this.inside.encrypt(json);
    this.group = sent.group;
    const message = this.link.wrap("message", sent.message);
    this.#ownLines.set(message, text);
    return { type: "send", message };
  }

  async #show(group: Group): Promise<void> {
    const group_info = this.link.wrap("group-info", await group.groupInfo());
    this.#said.push({ type: "show_group", group: { epoch: group.epoch, group_info } });
  }

  /** Sends a commit as its own; the rules are somebody else's to keep. */
  propose(epoch: number, next: NewEpoch, admitted: string[]): ClientMessage {
    const sealed = this.link.wrap("commit", next.commit);
    this.#pending = { sealed, group: next.group };
    const welcome = next.welcome && this.link.wrap("welcome", next.welcome);
    return {
      type: "commit",
      epoch,
      commit: sealed,
      ...(next.group.roster().size > CARRIED_UP_TO
        ? {}
        : { group_info: this.link.wrap("group-info", next.groupInfo) }),
      ...(welcome === undefined ? {} : { admission: { admitted, welcome } }),
    };
  }

  get inside(): Group {
    if (this.group === undefined) throw new Error("not in the group");
    return this.group;
  }

  #begun(): Stay {
    if (this.#stay === undefined) throw new Error("not in the room");
    return this.#stay;
  }

  async #comeIn(door: GroupDoor | null): Promise<void> {
    this.#stay = await Stay.begin(this.link, this.device, this.participant, this.name);
    if (door === null) {
      this.#founding = await this.#stay.found();
      const groupInfo = await this.#founding.groupInfo();
      this.#said.push({
        type: "create_group",
        group_info: this.link.wrap("group-info", groupInfo),
      });
    } else if (door.way === "knock") {
      this.#knock();
    } else {
      await this.#comeInAlone(door.group);
    }
  }

  #knock(): void {
    const keyPackage = this.link.wrap("key-package", this.#begun().knock());
    this.#said.push({ type: "knock", key_package: keyPackage });
  }

  async #comeInAlone({ epoch, group_info }: GroupState): Promise<void> {
    const groupInfo = this.link.unwrap("group-info", group_info);
    const next = await comeInAlone(this.#begun(), groupInfo);
    next.group.roster();
    if (next.group.epoch !== epoch + 1) throw new Error("of another epoch than the server says");
    const { hosts, door } = next.group.rules();
    if (door === "locked" && !hosts.includes(this.device.key)) throw new Error("locked");
    // A host has to let this client in.
    if (door === "lobby" && !hosts.includes(this.device.key)) this.#knock();
    else this.#said.push(this.propose(epoch, next, []));
  }

  async #enter(epoch: number, welcome: string): Promise<void> {
    const group = await this.#begun().enter(this.link.unwrap("welcome", welcome));
    const own = [...group.roster()].filter(([, it]) => it.participant === this.participant);
    if (group.epoch !== epoch || own.length !== 1 || own[0]?.[0] !== group.ownLeaf) {
      throw new Error("a Welcome into another group than the server says");
    }
    await this.#arrive(group);
  }

  async #arrive(group: Group): Promise<void> {
    const roster = group.roster();
    this.baseKeys.set(group.epoch, await group.baseKey());
    this.group = group;
    this.#roster = roster;
    this.#pending = undefined;
    this.#said.push({ type: "epoch_reached", epoch: group.epoch });
    await this.#removeGone();
  }

  async #onCommitted(message: Committed): Promise<void> {
    if (this.group === undefined) {
      if (message.author === this.participant) await this.#arrive(this.#own(message));
      return;
    }
    try {
      const { group: before, link } = this;
      const after = await this.#judge(message);
      if (after === undefined) return;
      this.link = after.link;
      await this.#arrive(after);
      this.#undo = { group: before, link, author: message.author, commit: message.commit };
    } catch (refusal) {
      this.refusals.push(String(refusal));
      this.#said.push({ type: "commit_refused", sequence: message.sequence });
    }
  }

  /** The group after a commit that keeps the rules; none if a host has removed this client. */
  async #judge(message: Committed): Promise<Group | undefined> {
    const before = this.inside;
    if (message.epoch !== before.epoch + 1) throw new Error("8: of another epoch");
    if (message.author === this.participant) return this.#own(message);
    if (this.#annulled.has(message.commit)) throw new Error("8: annulled before");
    const { group, move } = await before.follow(this.link.unwrap("commit", message.commit));
    const decision = examine(move, {
      link: this.link,
      rules: before.rules(),
      roster: this.#roster,
      own: before.ownLeaf,
      present: this.#present,
      author: message.author,
    });
    if (move.sender !== undefined && !sameOwner(before, group, move.sender)) {
      throw new Error("5: somebody else on the author's leaf");
    }
    const isOut = decision.shownOut === this.participant;
    const link = decision.changesLink && !isOut ? await group.nextLink() : undefined;
    examineAnnouncement(decision, message.rules, link);
    if (isOut) {
      this.shownOutBy = this.people.find((it) => it.participant === message.author)?.name;
      this.group = undefined;
      return undefined;
    }
    return link === undefined ? group : new Group(link, group.state);
  }

  #onAnnulled(author: string, epoch: number): void {
    if (this.group === undefined || this.group.epoch === epoch) return;
    if (this.#undo?.author !== author || this.#undo.group.epoch !== epoch) {
      throw new Error("the server takes back what can no longer be taken back");
    }
    this.group = this.#undo.group;
    this.link = this.#undo.link;
    this.#roster = this.group.roster();
    this.#annulled.add(this.#undo.commit);
    this.#undo = undefined;
    this.#pending = undefined;
  }

  #own(message: Committed): Group {
    if (this.#pending?.sealed !== message.commit) throw new Error("this is not ours");
    return this.#pending.group;
  }

  async #admit(knocks: Knock[]): Promise<void> {
    const known = new Set(this.people.map((it) => it.participant));
    const newcomers = [];
    for (const { participant, key_package } of knocks) {
      try {
        const keyPackage = readKeyPackage(this.link.unwrap("key-package", key_package));
        const { credential, signaturePublicKey } = keyPackage.leafNode;
        const identity = readCredential(this.link.room, credential, signaturePublicKey);
        if (identity.participant !== participant || known.has(participant)) continue;
        newcomers.push({ participant, keyPackage });
      } catch {
        // Left outside; the others are not kept waiting.
      }
    }
    newcomers.splice(MOST_AT_ONCE);
    if (newcomers.length > 0) {
      await this.#change(newcomers);
    }
  }

  async #change(
    newcomers: { participant: string; keyPackage: ReturnType<typeof readKeyPackage> }[],
  ) {
    const keyPackages = newcomers.map((newcomer) => newcomer.keyPackage);
    const admitted = newcomers.map((newcomer) => newcomer.participant);
    const { epoch } = this.inside;
    const next = await this.inside.change(keyPackages, this.#gone());
    this.#said.push(this.propose(epoch, next, admitted));
  }

  #gone(): number[] {
    const members = [...this.#roster];
    const gone = members.filter(([, member]) => !this.#present.has(member.participant));
    return gone.map(([leaf]) => leaf);
  }

  async #removeGone(): Promise<void> {
    if (this.group === undefined || this.#pending !== undefined) return;
    const gone = this.#gone();
    const [first] = gone;
    if (first === undefined) return;
    const stay = [...this.#roster.keys()].filter((leaf) => !gone.includes(leaf));
    const nearest = stay.toSorted((one, other) => (one ^ first) - (other ^ first))[0];
    if (nearest === this.group.ownLeaf) await this.#change([]);
  }

  async #onDelivered(sealed: string): Promise<void> {
    if (this.group === undefined) return;
    const own = this.#ownLines.get(sealed);
    if (own !== undefined) {
      this.chat.push({ name: this.name, text: own });
      return;
    }
    const { from, text, group } = await this.group.decrypt(this.link.unwrap("message", sealed));
    this.group = group;
    const json: unknown = JSON.parse(new TextDecoder().decode(text));
    if (isLine(json)) this.chat.push({ name: from.name, text: json.text });
  }
}

function isLine(json: unknown): json is { type: "chat"; text: string } {
  if (typeof json !== "object" || json === null) return false;
  return "type" in json && json.type === "chat" && "text" in json && typeof json.text === "string";
}

function sameOwner(before: Group, after: Group, leaf: number): boolean {
  const [was, is] = [before.leaf(leaf), after.leaf(leaf)];
  if (was?.credential.credentialType !== "basic" || is?.credential.credentialType !== "basic") {
    return false;
  }
  const same = (one: Uint8Array, other: Uint8Array) => Buffer.from(one).equals(other);
  return (
    same(was.credential.identity, is.credential.identity) &&
    same(was.signaturePublicKey, is.signaturePublicKey)
  );
}
