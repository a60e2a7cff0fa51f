/** The first client of Conclave: the very module that browsers load. */
import { readFileSync } from "node:fs";
import type { ClientMessage } from "../src/protocol/ClientMessage";
import type { HostRequest } from "../src/protocol/HostRequest";
import type { Member } from "../src/protocol/Member";
import type { MembershipOutput } from "../src/protocol/MembershipOutput";
import type { ServerMessage } from "../src/protocol/ServerMessage";
import type { Visitor } from "../src/protocol/Visitor";
import { initSync, Membership, StayKey } from "../src/wasm/conclave_e2ee.js";
import { Device } from "./identity";
import type { Link } from "./link";

const bytes = readFileSync(new URL("../src/wasm/conclave_e2ee_bg.wasm", import.meta.url));
initSync({ module: new WebAssembly.Module(bytes) });

export class WasmMember {
  readonly device = new Device();
  readonly baseKeys = new Map<number, Uint8Array>();
  readonly chat: { name: string; text: string }[] = [];
  readonly refusals: string[] = [];
  participant = "";
  roster: Member[] = [];
  visitors: Visitor[] = [];
  callCode = "";
  epoch = -1;
  ownLeaf = -1;
  failure: string | undefined;
  readonly #inner: Membership;

  constructor(link: Link, name: string) {
    const stay = new StayKey();
    const signature = Buffer.from(this.device.sign(stay.claim(link.room)), "hex");
    const key = Buffer.from(this.device.key, "hex");
    this.#inner = new Membership(link.room, link.fragment, name, stay, key, signature);
  }

  /** Who is in the group, by leaf. */
  get people() {
    return this.roster.map(({ participant, name, device }) => ({ participant, name, device }));
  }

  /** Which knock is shown to this host under a name. */
  knock(name: string): string {
    const visitor = this.visitors.find((visitor) => visitor.name === name);
    if (visitor === undefined) throw new Error("nobody waits under that name");
    return visitor.knock;
  }

  /** The code of this device and another member's. */
  pairCode(name: string): string | null | undefined {
    return this.roster.find((member) => member.name === name)?.pair_code;
  }

  join(): ClientMessage {
    return JSON.parse(this.#inner.join_message());
  }

  async hear(message: ServerMessage): Promise<ClientMessage[]> {
    this.#inner.handle(0, JSON.stringify(message));
    return this.#drain();
  }

  say(text: string): ClientMessage {
    this.#inner.send_chat(text);
    const [message] = this.#drain();
    if (message === undefined) throw new Error("nothing was said");
    return message;
  }

  /** Does something as a host. */
  host(request: HostRequest): ClientMessage {
    this.#inner.host(0, JSON.stringify(request));
    const [message] = this.#drain();
    if (message === undefined) throw new Error("nothing came of it");
    return message;
  }

  /** The secret of the link as it is now. */
  get fragment(): string {
    return this.#inner.link_fragment();
  }

  #drain(): ClientMessage[] {
    const said: ClientMessage[] = [];
    for (let json = this.#inner.poll(); json !== undefined; json = this.#inner.poll()) {
      const output: MembershipOutput = JSON.parse(json);
      switch (output.type) {
        case "send":
          said.push(output.message);
          break;
        case "keys_ready":
          this.epoch = output.epoch;
          this.ownLeaf = output.own_leaf;
          this.baseKeys.set(output.epoch, this.#inner.base_key(output.epoch));
          break;
        case "roster":
          this.roster = output.members;
          this.callCode = output.call_code;
          break;
        case "lobby":
          this.visitors = output.waiting;
          break;
        case "chat":
          this.chat.push({ name: output.name, text: output.text });
          break;
        case "commit_refused":
          this.refusals.push(output.reason);
          break;
        case "failed":
          this.failure = output.reason;
          break;
      }
    }
    return said;
  }
}
