/**
 * What a group costs a browser, measured with the module that the session worker has. The group is
 * filled by one member, twenty-five at a time, with people who never come in, as natively
 * (bench/src/group.rs).
 */
import { Membership, type MembershipOutput, start } from "../../src/crypto/wasm";
import type { ClientMessage } from "../../src/protocol/ClientMessage";
import type { GroupDoor } from "../../src/protocol/GroupDoor";
import type { Knock } from "../../src/protocol/Knock";
import type { ServerMessage } from "../../src/protocol/ServerMessage";

/** Milliseconds of every repetition, by what was done and who did it. */
export type Costs = Record<string, number[]>;

export interface Measuring {
  readonly module: WebAssembly.Module;
  readonly sizes: readonly number[];
  readonly repetitions: number;
}

export interface Measured {
  readonly size: number;
  readonly costs: Costs;
  /** Of everything in the module: all that take part have it in common. */
  readonly memoryBytes: number;
}

const AT_ONCE = 25;
const ROOM = "measured";

type Commit = Extract<ClientMessage, { type: "commit" }>;

class Client {
  #now = 0;

  private constructor(
    readonly id: string,
    readonly membership: Membership,
  ) {}

  static async of(number: number, secret: string): Promise<Client> {
    const pair = (await crypto.subtle.generateKey("Ed25519", false, [
      "sign",
      "verify",
    ])) as CryptoKeyPair;
    const device = {
      key: new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)),
      lasting: false,
      sign: async (claim: Uint8Array<ArrayBuffer>) =>
        new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, claim)),
    };
    const link = { room: ROOM, secret };
    const membership = await Membership.of(device, link, `Participant ${number}`);
    return new Client(number.toString(16).padStart(16, "0"), membership);
  }

  /** What it says to that, and how long it took. */
  hear(message: ServerMessage): { said: ClientMessage[]; ms: number } {
    const json = JSON.stringify(message);
    return this.#timed(() => this.membership.handle(this.#now, json));
  }

  /** Lets time pass until it says something. */
  wait(): { said: ClientMessage[]; ms: number } {
    for (;;) {
      const due = this.membership.nextTimeout();
      if (due === undefined) throw new Error("there is nothing to wait for");
      this.#now = due;
      const step = this.#timed(() => this.membership.handleTimeout(due));
      if (step.said.length > 0) return step;
    }
  }

  /** Handing out what is to be said is part of it: that is JSON too. */
  #timed(step: () => void): { said: ClientMessage[]; ms: number } {
    const begun = performance.now();
    step();
    const outputs: MembershipOutput[] = [];
    for (let output = this.membership.poll(); output; output = this.membership.poll()) {
      outputs.push(output);
    }
    const ms = performance.now() - begun;
    const said: ClientMessage[] = [];
    for (const output of outputs) {
      if (output.type === "send") said.push(output.message);
      if (output.type === "failed" || output.type === "commit_refused") {
        throw new Error(output.reason);
      }
    }
    return { said, ms };
  }
}

function find<T extends ClientMessage["type"]>(
  said: readonly ClientMessage[],
  type: T,
): Extract<ClientMessage, { type: T }> {
  const found = said.find((message) => message.type === type);
  if (!found) throw new Error(`no ${type} was said`);
  return found as Extract<ClientMessage, { type: T }>;
}

/** A room, its server reduced to what is needed. */
class Hall {
  size = 1;
  #epoch = 0;
  #sequence = 0;
  #last = 2;
  readonly costs: Costs = {};

  private constructor(
    readonly secret: string,
    readonly founder: Client,
    readonly watcher: Client,
  ) {}

  static async open(): Promise<Hall> {
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    const secret = btoa(String.fromCharCode(...bytes))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace("=", "");
    const [founder, watcher] = [await Client.of(1, secret), await Client.of(2, secret)];
    const hall = new Hall(secret, founder, watcher);
    founder.hear({ type: "joined", participant: founder.id, others: [], group: null });
    founder.hear({ type: "group_created" });
    founder.hear({ type: "participant_joined", participant: watcher.id });
    const { said } = watcher.hear(hall.#joined(watcher, hall.#show()));
    const committed = hall.#accept(watcher.id, find(said, "commit"));
    founder.hear(committed);
    watcher.hear(committed);
    hall.size = 2;
    return hall;
  }

  #joined({ id }: Client, group: GroupDoor): ServerMessage {
    const others = Array.from({ length: this.#last }, (_, at) => idOf(at + 1));
    return { type: "joined", participant: id, others, group };
  }

  /** The door with the group's state, which the founder shows. */
  #show(): GroupDoor {
    const { said } = this.founder.hear({ type: "show_group", epoch: this.#epoch });
    return { way: "commit", group: find(said, "show_group").group };
  }

  #accept(author: string, { commit }: Commit): ServerMessage {
    this.#epoch += 1;
    this.#sequence += 1;
    const [epoch, sequence] = [this.#epoch, this.#sequence];
    return { type: "committed", sequence, author, epoch, commit };
  }

  async #arrival(): Promise<Client> {
    this.#last += 1;
    const client = await Client.of(this.#last, this.secret);
    for (const member of [this.founder, this.watcher]) {
      member.hear({ type: "participant_joined", participant: client.id });
    }
    return client;
  }

  #note(what: string, ms: number): void {
    const list = this.costs[what] ?? [];
    list.push(ms);
    this.costs[what] = list;
  }

  /** Some knock and are brought in. Only the last of them is told so. */
  async admit(count: number, what?: string): Promise<Client> {
    const knocks: Knock[] = [];
    let last: Client | undefined;
    for (let come = 0; come < count; come += 1) {
      last?.membership.free();
      last = await this.#arrival();
      const { said } = last.hear(this.#joined(last, { way: "knock", epoch: this.#epoch }));
      knocks.push({ participant: last.id, key_package: find(said, "knock").key_package });
    }
    if (!last) throw new Error("nobody came");
    const made = this.founder.hear({ type: "admit", knocks });
    const commit = find(made.said, "commit");
    const committed = this.#accept(this.founder.id, commit);
    const merged = this.founder.hear(committed);
    const followed = this.watcher.hear(committed);
    if (!commit.admission) throw new Error("there is no welcome");
    const { welcome } = commit.admission;
    const [epoch, sequence] = [this.#epoch, this.#sequence];
    const entered = last.hear({ type: "welcomed", sequence, epoch, welcome });
    this.size += count;
    if (what) {
      this.#note(`${what}: the member who does it`, made.ms + merged.ms);
      this.#note(`${what}: every other member`, followed.ms);
      this.#note(`${what}: the newcomer`, entered.ms);
    }
    return last;
  }

  /** Someone comes in alone. */
  async comeIn(): Promise<Client> {
    const what = "someone comes in alone";
    const client = await this.#arrival();
    const made = client.hear(this.#joined(client, this.#show()));
    const committed = this.#accept(client.id, find(made.said, "commit"));
    this.founder.hear(committed);
    this.#note(`${what}: every other member`, this.watcher.hear(committed).ms);
    this.#note(`${what}: the newcomer`, made.ms + client.hear(committed).ms);
    this.size += 1;
    return client;
  }

  /** The founder takes out someone who has left. Others would be first, and are not there. */
  remove({ id, membership }: Client): void {
    membership.free();
    const left: ServerMessage = { type: "participant_left", participant: id };
    this.watcher.hear(left);
    const heard = this.founder.hear(left);
    const made = heard.said.length > 0 ? heard : this.founder.wait();
    const committed = this.#accept(this.founder.id, find(made.said, "commit"));
    const merged = this.founder.hear(committed);
    const what = "someone is taken out";
    this.#note(`${what}: the member who does it`, made.ms + merged.ms);
    this.#note(`${what}: every other member`, this.watcher.hear(committed).ms);
    this.size -= 1;
  }

  close(): void {
    this.founder.membership.free();
    this.watcher.membership.free();
  }
}

const idOf = (number: number): string => number.toString(16).padStart(16, "0");

async function measure(size: number, repetitions: number): Promise<Costs> {
  const hall = await Hall.open();
  while (hall.size < size) {
    const last = await hall.admit(Math.min(AT_ONCE, size - hall.size));
    last.membership.free();
  }
  for (let round = 0; round < repetitions; round += 1) {
    const one = await hall.admit(1, "someone is brought in");
    const alone = await hall.comeIn();
    hall.remove(one);
    hall.remove(alone);
  }
  const last = await hall.admit(AT_ONCE, "twenty-five are brought in");
  last.membership.free();
  hall.close();
  return hall.costs;
}

self.onmessage = async ({ data }: MessageEvent<Measuring>) => {
  const memory = start(data.module);
  for (const size of data.sizes) {
    let told: Measured | string;
    try {
      const costs = await measure(size, data.repetitions);
      told = { size, costs, memoryBytes: memory.buffer.byteLength };
    } catch (error) {
      told = String(error);
    }
    self.postMessage(told);
  }
};
