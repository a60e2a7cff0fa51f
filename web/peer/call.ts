/** A room in which the two clients meet. */
import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { Link } from "./link";
import { Peer } from "./peer";
import { Service } from "./service";
import { WasmMember } from "./wasm-member";

export class Call {
  readonly link = new Link("standup", randomBytes(32).toString("base64url"));
  readonly service = new Service();

  async wasm(name: string): Promise<WasmMember> {
    const member = new WasmMember(this.link, name);
    member.participant = await this.service.arrive(member);
    return member;
  }

  async peer(name: string, link = this.link): Promise<Peer> {
    const peer = new Peer(link, name);
    await this.service.arrive(peer);
    return peer;
  }
}

/** That all of these are in one epoch with the same keys, the same code and the same people. */
export function expectOneGroup(everyone: (Peer | WasmMember)[], names: string[]): void {
  const seen = everyone.map((person) => {
    expect(person.failure).toBeUndefined();
    expect(person.refusals).toEqual([]);
    return {
      epoch: person.epoch,
      baseKey: Buffer.from(person.baseKeys.get(person.epoch) ?? []).toString("hex"),
      callCode: person.callCode,
      people: person.people,
    };
  });
  const [first] = seen;
  expect(first?.baseKey).toMatch(/^[0-9a-f]{32}$/);
  expect(first?.callCode).toMatch(/^\d{5}( \d{5}){5}$/);
  expect(first?.people.map((it) => it.name)).toEqual(names);
  for (const other of seen) expect(other).toEqual(first);
}
