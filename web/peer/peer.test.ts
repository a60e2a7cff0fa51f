/** The two clients meet: what one does the other has to follow, and the other way round. */
import { decodeMlsMessage } from "ts-mls";
import { describe, expect, test } from "vitest";
import type { ClientMessage } from "../src/protocol/ClientMessage";
import { FrameOpener, FrameSealer } from "../src/wasm/conclave_e2ee.js";
import { Call, expectOneGroup } from "./call";
import { openOpus, sealOpus } from "./frames";
import { Peer } from "./peer";
import { WasmMember } from "./wasm-member";

test("both show the same proof of the link at the door", () => {
  const { link } = new Call();
  expect(new Peer(link, "Paul").join()).toEqual(new WasmMember(link, "Ada").join());
});

describe("coming in", () => {
  test("a WASM member brings in the peer that knocks", async () => {
    const call = new Call();
    const [ada, grace, paul] = [
      await call.wasm("Ada"),
      await call.wasm("Grace"),
      await call.peer("Paul"),
    ];
    expectOneGroup([ada, grace, paul], ["Ada", "Grace", "Paul"]);
    expect(paul.pairCode("Ada")).toBe(ada.pairCode("Paul"));
  });

  test("the peer brings in a WASM client that knocks, and the other members agree", async () => {
    const call = new Call();
    const [ada, paul] = [await call.wasm("Ada"), await call.peer("Paul")];
    call.service.asks = paul.participant;
    const grace = await call.wasm("Grace");
    expect(call.service.commits.at(-1)?.author).toBe(paul.participant);
    expectOneGroup([ada, paul, grace], ["Ada", "Paul", "Grace"]);
    expect(grace.pairCode("Paul")).toBe(paul.pairCode("Grace"));
  });

  test("the peer founds a group that WASM clients come into alone", async () => {
    const call = new Call();
    const paul = await call.peer("Paul");
    call.service.way = "commit";
    const [ada, grace] = [await call.wasm("Ada"), await call.wasm("Grace")];
    expectOneGroup([paul, ada, grace], ["Paul", "Ada", "Grace"]);
  });

  test("the peer comes alone into a group of WASM clients, and a WASM client after it", async () => {
    const call = new Call();
    call.service.way = "commit";
    const [ada, grace] = [await call.wasm("Ada"), await call.wasm("Grace")];
    const paul = await call.peer("Paul");
    expect(call.service.commits.at(-1)?.author).toBe(paul.participant);
    expectOneGroup([ada, grace, paul], ["Ada", "Grace", "Paul"]);
    const alan = await call.wasm("Alan");
    expectOneGroup([ada, grace, paul, alan], ["Ada", "Grace", "Paul", "Alan"]);
  });
});

test("each comes in by the state that the other shows when asked for it", async () => {
  const call = new Call();
  call.service.way = "commit";
  const [ada, grace] = [await call.wasm("Ada"), await call.wasm("Grace")];
  await call.service.askFor(ada.participant);
  const paul = await call.peer("Paul");
  expectOneGroup([ada, grace, paul], ["Ada", "Grace", "Paul"]);
  await call.service.askFor(paul.participant);
  const alan = await call.wasm("Alan");
  expectOneGroup([ada, grace, paul, alan], ["Ada", "Grace", "Paul", "Alan"]);
});

/** What is in an application message when the envelope is off. */
function ciphertext(call: Call, line: ClientMessage): Uint8Array {
  const sealed = line.type === "send" ? line.message : "";
  const [message] = decodeMlsMessage(call.link.unwrap("message", sealed), 0) ?? [];
  if (message?.wireformat !== "mls_private_message") throw new Error("this is something else");
  return message.privateMessage.ciphertext;
}

test("what one writes the others read, in both directions and in long lines", async () => {
  const call = new Call();
  const [ada, grace, paul] = [
    await call.wasm("Ada"),
    await call.wasm("Grace"),
    await call.peer("Paul"),
  ];
  const long = "Grüße an alle. ".repeat(60);
  const lines = [
    { from: ada, line: ada.say("Hello, Paul") },
    { from: paul, line: await paul.say("Hello, Ada") },
    { from: paul, line: await paul.say(long) },
    { from: grace, line: grace.say(long) },
  ];
  for (const { from, line } of lines) {
    expect(ciphertext(call, line).length % 256).toBe(0);
    await call.service.take(from.participant, line);
  }
  const said = [
    { name: "Ada", text: "Hello, Paul" },
    { name: "Paul", text: "Hello, Ada" },
    { name: "Paul", text: long },
    { name: "Grace", text: long },
  ];
  for (const person of [ada, grace, paul]) expect(person.chat).toEqual(said);
});

test("a line that a commit overtook is read all the same", async () => {
  const call = new Call();
  const [ada, grace, paul] = [
    await call.wasm("Ada"),
    await call.wasm("Grace"),
    await call.peer("Paul"),
  ];
  const lines = [
    { from: ada, line: ada.say("from Ada") },
    { from: paul, line: await paul.say("from Paul") },
  ];
  const joan = await call.wasm("Joan");
  for (const { from, line } of lines) await call.service.take(from.participant, line);
  for (const person of [ada, grace, paul]) {
    expect(person.chat.map((it) => it.text)).toEqual(["from Ada", "from Paul"]);
  }
  expect(joan.chat).toEqual([]);
});

test("frames that one seals the other opens, and knows whose they are", async () => {
  const call = new Call();
  const [ada, paul] = [await call.wasm("Ada"), await call.peer("Paul")];
  const { epoch } = paul;
  const key = paul.baseKeys.get(epoch) ?? new Uint8Array();
  const frame = Buffer.from("fc0102", "hex");

  const opener = new FrameOpener();
  opener.install(ada.epoch, ada.baseKeys.get(ada.epoch) ?? new Uint8Array());
  const leaf = paul.inside.ownLeaf;
  const opened = opener.open("opus", sealOpus(key, { context: 7, leaf, epoch }, 300, frame));
  expect([opened.leaf, opened.context]).toEqual([leaf, 7]);
  expect(Buffer.from(opened.frame())).toEqual(frame);

  const sealer = new FrameSealer();
  sealer.install(ada.epoch, ada.ownLeaf, ada.baseKeys.get(ada.epoch) ?? new Uint8Array());
  sealer.seal_with(ada.epoch);
  const sealed = sealer.seal(0, "opus", frame);
  expect(openOpus(key, sealed)).toEqual({ context: 0, leaf: ada.ownLeaf, counter: 0, frame });
});

describe("going", () => {
  test("a WASM member removes the peer, whose keys end there", async () => {
    const call = new Call();
    const [ada, grace, paul] = [
      await call.wasm("Ada"),
      await call.wasm("Grace"),
      await call.peer("Paul"),
    ];
    const last = paul.epoch;
    await call.service.leave(paul.participant);
    expectOneGroup([ada, grace], ["Ada", "Grace"]);
    expect(ada.epoch).toBe(last + 1);

    // Even if the commit is shown to it, and it lets go of every rule.
    const removal = call.service.commits.at(-1)?.commit ?? "";
    const after = await paul.inside.follow(call.link.unwrap("commit", removal));
    expect(after.group.state.groupActiveState.kind).toBe("removedFromGroup");
    expect(await after.group.baseKey()).not.toEqual(ada.baseKeys.get(ada.epoch));
    expect(await after.group.baseKey()).toEqual(ada.baseKeys.get(last));
  });

  test("the peer removes a WASM client that has left", async () => {
    const call = new Call();
    const [paul, ada, grace] = [
      await call.peer("Paul"),
      await call.wasm("Ada"),
      await call.wasm("Grace"),
    ];
    await call.service.leave(ada.participant);
    expect(call.service.commits.at(-1)?.author).toBe(paul.participant);
    expectOneGroup([paul, grace], ["Paul", "Grace"]);
  });

  test("the peer brings in one and removes another at once, and whoever came too late follows", async () => {
    const call = new Call();
    const [ada, grace, paul, alan] = [
      await call.wasm("Ada"),
      await call.wasm("Grace"),
      await call.peer("Paul"),
      await call.wasm("Alan"),
    ];
    call.service.asks = paul.participant;
    // Ada would be the first to remove Grace.
    call.service.hold(ada.participant);
    await call.service.leave(grace.participant);
    const joan = await call.wasm("Joan");
    await call.service.release(ada.participant);
    expect(call.service.commits.at(-1)?.author).toBe(paul.participant);
    expectOneGroup([ada, paul, alan, joan], ["Ada", "Joan", "Paul", "Alan"]);
  });

  test("the peer's own commit that came too late is forgotten", async () => {
    const call = new Call();
    const [paul, ada, grace] = [
      await call.peer("Paul"),
      await call.wasm("Ada"),
      await call.wasm("Grace"),
    ];
    call.service.hold(paul.participant);
    call.service.asks = ada.participant;
    await call.service.leave(grace.participant);
    const joan = await call.wasm("Joan");
    await call.service.release(paul.participant);
    expectOneGroup([paul, ada, joan], ["Paul", "Ada", "Joan"]);
  });
});
