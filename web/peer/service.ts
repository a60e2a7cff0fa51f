/** The server as the group's delivery service (docs/protocol.md §2): one log, one commit an epoch. */
import type { ClientMessage } from "../src/protocol/ClientMessage";
import type { GroupDoor } from "../src/protocol/GroupDoor";
import type { GroupState } from "../src/protocol/GroupState";
import type { Knock } from "../src/protocol/Knock";
import type { ServerMessage } from "../src/protocol/ServerMessage";

export interface Participant {
  hear(message: ServerMessage): Promise<ClientMessage[]>;
}

type Committed = ServerMessage & { type: "committed" };

export class Service {
  /** How newcomers are to come in. */
  way: GroupDoor["way"] = "knock";
  /** Whether a host has to let them in, by the word of a commit's author. */
  guarded = false;
  /** Who is asked to bring in those who knock; nobody but who founded the group, unless said. */
  asks: string | undefined;
  /** Those who wait to be brought in. */
  knocks: Knock[] = [];
  /** Every commit that was let through. */
  readonly commits: Committed[] = [];
  readonly #inside = new Map<string, Participant>();
  readonly #members = new Set<string>();
  /** What is on its way, and arrives even if the server then shows somebody out. */
  readonly #inbox: [string, Participant, ServerMessage][] = [];
  /** What those have not heard yet who hear nothing for now. */
  readonly #held = new Map<string, [string, Participant, ServerMessage][]>();
  #group: GroupState | undefined;
  /** The state before the last commit, and the same as long as nobody has followed it. */
  #last: GroupState | undefined;
  #before: GroupState | undefined;
  #missing = new Set<string>();
  /** Whom the last commit brought in. */
  #admitted: string[] = [];
  #sequence = 0;
  #arrivals = 0;

  get epoch(): number | undefined {
    return this.#group?.epoch;
  }

  /** Somebody comes into the room, and everything happens that follows. */
  async arrive(participant: Participant): Promise<string> {
    this.#arrivals += 1;
    const id = this.#arrivals.toString(16).padStart(16, "0");
    const others = [...this.#inside.keys()];
    this.#tellAll({ type: "participant_joined", participant: id });
    this.#inside.set(id, participant);
    this.#tell(id, { type: "joined", participant: id, others, group: this.#door() });
    await this.settle();
    return id;
  }

  async leave(id: string): Promise<void> {
    this.#inside.delete(id);
    this.#members.delete(id);
    this.knocks = this.knocks.filter((knock) => knock.participant !== id);
    this.#tellAll({ type: "participant_left", participant: id });
    await this.settle();
  }

  /** Forgets the group's state and asks a member for it. */
  async askFor(id: string): Promise<void> {
    if (this.#group === undefined) return;
    this.#group = { ...this.#group, group_info: "" };
    this.#tell(id, { type: "show_group", epoch: this.#group.epoch });
    await this.settle();
  }

  /** Somebody says something, and everything happens that follows. */
  async take(id: string, message: ClientMessage): Promise<void> {
    this.#take(id, message);
    await this.settle();
  }

  /** Keeps what is said to somebody until they are to hear it. */
  hold(id: string): void {
    this.#held.set(id, []);
  }

  async release(id: string): Promise<void> {
    this.#inbox.push(...(this.#held.get(id) ?? []));
    this.#held.delete(id);
    await this.settle();
  }

  /** Until nobody has anything left to say. */
  async settle(): Promise<void> {
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
      const [id, participant, message] = next;
      const said = await participant.hear(message);
      for (const word of said) if (this.#inside.has(id)) this.#take(id, word);
    }
  }

  #door(): GroupDoor | null {
    if (this.#group === undefined) return null;
    if (this.way === "commit" || this.guarded) return { way: "commit", group: this.#group };
    return { way: "knock", epoch: this.#group.epoch };
  }

  #tell(id: string, message: ServerMessage): void {
    const participant = this.#inside.get(id);
    if (participant === undefined) return;
    const line = this.#held.get(id) ?? this.#inbox;
    line.push([id, participant, message]);
  }

  #tellAll(message: ServerMessage): void {
    for (const id of this.#inside.keys()) this.#tell(id, message);
  }

  #take(id: string, message: ClientMessage): void {
    switch (message.type) {
      case "create_group":
        this.#group = { epoch: 0, group_info: message.group_info };
        this.#members.add(id);
        this.#missing = new Set([id]);
        this.asks ??= id;
        this.#tell(id, { type: "group_created" });
        break;
      case "knock": {
        this.knocks.push({ participant: id, key_package: message.key_package });
        if (this.guarded) this.#tellAll({ type: "knocking", knocks: this.knocks });
        else if (this.asks !== undefined)
          this.#tell(this.asks, { type: "admit", knocks: this.knocks });
        break;
      }
      case "show_group":
        if (message.group.epoch === this.#group?.epoch) this.#group = message.group;
        break;
      case "commit":
        this.#commit(id, message);
        break;
      case "epoch_reached":
        if (message.epoch === this.#group?.epoch && this.#missing.delete(id)) {
          this.#before = undefined;
          if (this.#missing.size === 0) {
            this.#tellAll({ type: "epoch_complete", epoch: message.epoch });
          }
        }
        break;
      case "commit_refused":
        this.#refused(message.sequence);
        break;
      case "send":
        this.#sequence += 1;
        this.#tellAll({
          type: "delivered",
          sequence: this.#sequence,
          author: id,
          message: message.message,
        });
        break;
    }
  }

  #commit(author: string, message: ClientMessage & { type: "commit" }): void {
    if (this.#group === undefined || message.epoch !== this.#group.epoch) {
      const epoch = this.#group?.epoch ?? 0;
      const group = this.#members.has(author) ? null : this.#door();
      this.#tell(author, { type: "stale", epoch, group });
      return;
    }
    this.#last = this.#group;
    this.#before = this.#group;
    this.#group = { epoch: message.epoch + 1, group_info: message.group_info ?? "" };
    this.#sequence += 1;
    const { epoch } = this.#group;
    const { commit, admission, rules } = message;
    const committed: Committed = {
      type: "committed",
      sequence: this.#sequence,
      author,
      epoch,
      commit,
      ...(rules && { rules }),
    };
    this.guarded = rules?.guarded ?? this.guarded;
    this.commits.push(committed);
    const admitted = admission?.admitted ?? [];
    for (const id of this.#inside.keys()) {
      if (!admitted.includes(id)) this.#tell(id, committed);
      else if (admission !== undefined) {
        const { welcome } = admission;
        this.#tell(id, { type: "welcomed", sequence: this.#sequence, epoch, welcome });
      }
    }
    this.#admitted = admitted;
    this.knocks = this.knocks.filter((knock) => !admitted.includes(knock.participant));
    for (const id of [author, ...admitted]) this.#members.add(id);
    if (rules?.removed !== undefined) this.#members.delete(rules.removed);
    this.#missing = new Set(this.#members);
  }

  /** Takes the last commit back, if nobody has followed it. */
  #refused(sequence: number): void {
    if (this.commits.at(-1)?.sequence === sequence && this.#before !== undefined) this.#annul();
  }

  /** Takes the last commit back, whoever has followed it. */
  async annul(): Promise<void> {
    this.#annul();
    await this.settle();
  }

  /** Sends a commit once more that was taken back. */
  async repeat({ author, commit }: Committed): Promise<void> {
    this.#sequence += 1;
    const epoch = (this.epoch ?? 0) + 1;
    this.#tellAll({ type: "committed", sequence: this.#sequence, author, epoch, commit });
    await this.settle();
  }

  #annul(): void {
    const last = this.commits.pop();
    if (last === undefined || this.#last === undefined) return;
    const { author } = last;
    this.#group = this.#last;
    this.#before = undefined;
    const out = [author, ...this.#admitted];
    for (const id of out) {
      this.#inside.delete(id);
      this.#members.delete(id);
    }
    this.#tellAll({ type: "commit_annulled", author, epoch: this.#group.epoch });
    for (const participant of out) this.#tellAll({ type: "participant_left", participant });
  }
}
