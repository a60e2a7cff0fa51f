/** What either client must not let pass when the other does it. */
import { expect, test } from "vitest";
import { Call, expectOneGroup } from "./call";
import { readKeyPackage } from "./group";
import { Device } from "./identity";
import { Link } from "./link";
import { Peer } from "./peer";

/** Somebody who opens all envelopes, and has no pre-shared key but a made-up one. */
class WrongKey extends Link {
  override key(label: Parameters<Link["key"]>[0]): Uint8Array {
    return label === "mls-psk" ? new Uint8Array(32).fill(7) : super.key(label);
  }
}

test("a peer without the link's key cannot read the Welcome that it is sent", async () => {
  const call = new Call();
  await call.wasm("Ada");
  const wrong = new WrongKey(call.link.room, call.link.fragment);
  await expect(call.peer("Eve", wrong)).rejects.toThrow();
});

test("a peer without the link's key cannot come in alone", async () => {
  const call = new Call();
  const [ada, paul] = [await call.wasm("Ada"), await call.peer("Paul")];
  call.service.way = "commit";
  await call.peer("Eve", new WrongKey(call.link.room, call.link.fragment));
  expect(ada.refusals).toHaveLength(1);
  expect(paul.refusals).toHaveLength(1);
  expect(ada.people.map((it) => it.name)).toEqual(["Ada", "Paul"]);
});

test("a commit that adds people without the link is refused, and taken back", async () => {
  const call = new Call();
  const [ada, mallory, paul] = [
    await call.wasm("Ada"),
    await call.peer("Mallory"),
    await call.peer("Paul"),
  ];
  const before = ada.epoch;
  call.service.asks = undefined;
  const [eve, joan] = [await call.wasm("Eve"), await call.peer("Joan")];
  call.service.hold(joan.participant);
  const adds = call.service.knocks.map(({ key_package }) => {
    const keyPackage = readKeyPackage(call.link.unwrap("key-package", key_package));
    return { proposalType: "add", add: { keyPackage } } as const;
  });
  const next = await mallory.inside.commit(adds);
  const message = mallory.propose(mallory.epoch, next, [eve.participant, joan.participant]);
  await call.service.take(mallory.participant, message);
  expect(ada.refusals).toEqual(["it adds someone who did not show that they have the link"]);
  expect(paul.refusals).toEqual(["Error: 3: not the link, once"]);
  expect(eve.failure).toBe("reading the welcome: it does not contain the link's key");
  await expect(call.service.release(joan.participant)).rejects.toThrow("not name the link, once");
  // Ada goes on from the epoch before, without Mallory.
  expect(ada.people.map((it) => it.name)).toEqual(["Ada", "Paul"]);
  expect(ada.epoch).toBe(before + 1);
});

test("a commit that the server takes back is undone by both, and refused if it comes again", async () => {
  const call = new Call();
  const [ada, grace, paul] = [
    await call.wasm("Ada"),
    await call.wasm("Grace"),
    await call.peer("Paul"),
  ];
  const [epoch, code] = [paul.epoch, paul.callCode];
  call.service.asks = grace.participant;
  await call.peer("Joan");
  expect(paul.epoch).toBe(epoch + 1);
  const [last] = call.service.commits.slice(-1);
  if (last === undefined) throw new Error("there was no commit");

  call.service.hold(ada.participant);
  await call.service.annul();
  expect([paul.epoch, paul.callCode]).toEqual([epoch, code]);
  await call.service.repeat(last);
  expect(paul.refusals).toEqual(["Error: 8: annulled before"]);
  await call.service.release(ada.participant);
  expect(ada.refusals).toEqual(["it was taken back before"]);
});

test("whoever knocks with a device that does not vouch is left outside, and nobody else is harmed", async () => {
  const call = new Call();
  const [ada, grace] = [await call.wasm("Ada"), await call.wasm("Grace")];
  const eve = new Peer(call.link, "Eve");
  eve.device.vouch = () => new Device().vouch("another-room", new Uint8Array(32));
  await call.service.arrive(eve);
  expect([ada.failure, ada.refusals, grace.refusals]).toEqual([undefined, [], []]);
  expectOneGroup([ada, grace], ["Ada", "Grace"]);
});
