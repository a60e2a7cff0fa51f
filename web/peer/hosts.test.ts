/** What a host decides, as the other client follows it. */
import { expect, test } from "vitest";
import { Call, expectOneGroup } from "./call";
import { extensionsOf } from "./hosting";
import { Link } from "./link";

test("a peer waits before a lobby, and comes in when a host lets it", async () => {
  const call = new Call();
  const [ada, paul] = [await call.wasm("Ada"), await call.peer("Paul")];
  await call.service.take(ada.participant, ada.host({ type: "set_door", door: "lobby" }));
  expect(paul.inside.rules().door).toBe("lobby");
  const joan = await call.peer("Joan");
  expect(joan.group).toBeUndefined();
  const admit = ada.host({
    type: "admit",
    participant: joan.participant,
    knock: ada.knock("Joan"),
  });
  await call.service.take(ada.participant, admit);
  expectOneGroup([ada, paul, joan], ["Ada", "Paul", "Joan"]);
});

test("a peer follows the link that a host changes, and who is removed does not", async () => {
  const call = new Call();
  const [ada, paul, mallory] = [
    await call.wasm("Ada"),
    await call.peer("Paul"),
    await call.peer("Mallory"),
  ];
  const remove = ada.host({
    type: "remove",
    participant: mallory.participant,
    change_link: true,
  });
  await call.service.take(ada.participant, remove);
  expect(mallory.shownOutBy).toBe("Ada");
  expect(ada.fragment).not.toBe(call.link.fragment);
  expect(paul.link.fragment).toBe(ada.fragment);
  await call.service.leave(mallory.participant);
  const joan = await call.peer("Joan", new Link(call.link.room, ada.fragment));
  expectOneGroup([ada, paul, joan], ["Ada", "Paul", "Joan"]);
  await call.service.take(joan.participant, await joan.say("hello"));
  await call.service.take(ada.participant, ada.say("welcome"));
  expect(ada.chat.map(({ text }) => text)).toEqual(["hello", "welcome"]);
  expect(paul.chat).toEqual(ada.chat);
});

test("neither client lets a member who is no host change the rules", async () => {
  const call = new Call();
  const [ada, paul, mallory] = [
    await call.wasm("Ada"),
    await call.peer("Paul"),
    await call.peer("Mallory"),
  ];
  const rules = mallory.inside.rules();
  const extensions = extensionsOf({ ...rules, hosts: [mallory.device.key] });
  const next = await mallory.inside.commit([
    { proposalType: "group_context_extensions", groupContextExtensions: { extensions } },
  ]);
  const message = mallory.propose(mallory.epoch, next, []);
  await call.service.take(mallory.participant, message);
  // ts-mls makes such a commit without a path, which RFC 9420 §12.4 demands: MLS refuses it
  // before our rules are asked. They are, in the tests of the first client.
  expect(ada.refusals).toHaveLength(1);
  expect(paul.refusals).toEqual(["Error: 9: not a host"]);
});

test("a peer that founds a call is its host for the other client too", async () => {
  const call = new Call();
  const paul = await call.peer("Paul");
  const ada = await call.wasm("Ada");
  expect(ada.roster.map(({ name, is_host }) => [name, is_host])).toEqual([
    ["Paul", true],
    ["Ada", false],
  ]);
  expect(paul.inside.rules().hosts).toEqual([paul.device.key]);
});
