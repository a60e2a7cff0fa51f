import { describe, expect, it } from "vitest";
import type { Member } from "../protocol/Member";
import { Courier } from "./courier";
import { type EncodedFrame, type FrameError, IncomingSlot } from "./frames";
import { Keyring } from "./keyring";
import type { OpeningKeyMessage, SealingKeyMessage } from "./messages";
import { FakeModule } from "./module.fake";

const member = (leaf: number, name: string): Member => ({
  leaf,
  participant: `${name}'s stay`,
  name,
  is_self: leaf === 0,
  is_host: false,
  device: `${name}'s device`,
  pair_code: null,
});
const me = member(0, "Me");
const mallory = member(3, "Mallory");
const nina = member(3, "Nina");

/** A session worker's courier, and opening workers at the other ends of its ports. */
function workers(count = 1) {
  const rings = Array.from(
    { length: count },
    (_, number) => new Keyring(number, () => new FakeModule()),
  );
  const sealing: SealingKeyMessage[] = [];
  const heard: OpeningKeyMessage["type"][] = [];
  const ports = rings.map((ring, number) => ({
    postMessage(message: OpeningKeyMessage) {
      if (number === 0) heard.push(message.type);
      ring.take(structuredClone(message));
    },
  }));
  const port = { postMessage: (message: SealingKeyMessage) => void sealing.push(message) };
  const courier = new Courier(port, ports, false);
  let counter = 0;
  return {
    rings,
    sealing,
    heard,
    courier,
    /** As a membership tells that it has come to an epoch. */
    reach(epoch: number, key: number, ...others: Member[]) {
      courier.put({ type: "keys_ready", epoch, own_leaf: 0 }, () => Uint8Array.of(key));
      const members = [me, ...others];
      courier.put({ type: "roster", members, call_code: "", door: "open" }, () => new Uint8Array());
    },
    /** As a membership tells that the newest epoch was annulled. */
    annul(epoch: number, ...others: Member[]) {
      const none = () => new Uint8Array();
      const members = [me, ...others];
      courier.put({ type: "roster", members, call_code: "", door: "open" }, none);
      courier.put({ type: "seal_with", epoch: epoch - 1 }, none);
      courier.put({ type: "forget", epoch }, none);
    },
    forget: (epoch: number) => courier.put({ type: "forget", epoch }, () => new Uint8Array()),
    /** Whose a frame is, or why it does not open. */
    whose(epoch: number, key: number, leaf: number, ring = rings[0]): string | undefined {
      counter += 1;
      try {
        return ring?.open("vp8", Uint8Array.of(epoch, key, leaf, counter)).holder.participant;
      } catch (error) {
        return (error as FrameError).code;
      }
    },
  };
}

describe("who opens frames", () => {
  it("has the key of an epoch together with who holds its leaves", () => {
    const { reach, heard, sealing, whose, courier } = workers();
    courier.put({ type: "keys_ready", epoch: 1, own_leaf: 0 }, () => Uint8Array.of(11));
    expect([heard, sealing]).toEqual([[], []]);
    reach(1, 11, mallory);
    expect(heard).toEqual(["install"]);
    expect(sealing).toEqual([{ type: "install", epoch: 1, leaf: 0, key: Uint8Array.of(11) }]);
    expect(whose(1, 11, 3)).toBe("Mallory's stay");
  });

  it("opens late frames of who is still there", () => {
    const { reach, whose } = workers();
    reach(1, 11, mallory);
    reach(2, 12, mallory, member(4, "Grace"));
    expect([whose(1, 11, 3), whose(2, 12, 3), whose(2, 12, 4)]).toEqual([
      "Mallory's stay",
      "Mallory's stay",
      "Grace's stay",
    ]);
    // Nobody was there before they came.
    expect(whose(1, 11, 4)).toBe("former_holder");
  });

  it("in any of the workers refuses what was withheld of somebody whose leaf is another's", () => {
    const { reach, whose, rings } = workers(3);
    reach(1, 11, mallory);
    reach(2, 12, nina);
    for (const ring of rings) {
      expect(whose(1, 11, 3, ring)).toBe("former_holder");
      expect(whose(2, 12, 3, ring)).toBe("Nina's stay");
    }
  });

  it("refuses what comes from a leaf that nobody has, and after it was given away", () => {
    const { reach, whose } = workers();
    reach(1, 11, mallory);
    reach(2, 12);
    expect(whose(1, 11, 3)).toBe("former_holder");
    reach(3, 13, nina);
    expect([whose(1, 11, 3), whose(2, 12, 3)]).toEqual(["former_holder", "former_holder"]);
    expect(whose(3, 13, 3)).toBe("Nina's stay");
  });

  it("takes the refusal back when the departure was annulled, and opens nothing of the successor", () => {
    const { reach, annul, whose, heard, rings } = workers();
    reach(1, 11, mallory);
    reach(2, 12, nina);
    annul(2, mallory);
    // What says who is there again takes the annulled key away with it.
    expect(heard).toEqual(["install", "install", "back", "forget"]);
    expect(whose(1, 11, 3)).toBe("Mallory's stay");
    expect(whose(2, 12, 3)).toBe("unknown_epoch");
    expect(rings[0]?.newest).toBe(1);
    // The epoch comes again, by another commit.
    reach(2, 22, mallory);
    expect([whose(1, 11, 3), whose(2, 22, 3)]).toEqual(["Mallory's stay", "Mallory's stay"]);
  });

  it("opens nothing with an annulled key, not even before it is told to wipe it", () => {
    const { rings, whose } = workers();
    const [ring] = rings;
    const at = (epoch: number, name: Member) => ({
      epoch,
      holders: [{ ...name, since: epoch }],
    });
    const install = (epoch: number, key: number, name: Member) =>
      ring?.take({
        type: "install",
        key: Uint8Array.of(key),
        ledger: new ArrayBuffer(9 * 1_024 * 8),
        ...at(epoch, name),
      });
    install(1, 11, mallory);
    install(2, 12, nina);
    ring?.take({ type: "back", ...at(1, mallory) });
    expect(whose(2, 12, 3)).toBe("unknown_epoch");
  });

  it("keeps refusing while old keys are wiped one after the other", () => {
    const { reach, forget, whose, heard } = workers();
    reach(1, 11, mallory);
    reach(2, 12, mallory);
    reach(3, 13, nina);
    forget(1);
    expect(whose(2, 12, 3)).toBe("former_holder");
    forget(2);
    expect(heard.slice(3)).toEqual(["forget", "forget"]);
    expect([whose(2, 12, 3), whose(3, 13, 3)]).toEqual(["unknown_epoch", "Nina's stay"]);
  });

  it("says which epoch somebody's frames last came from, and not their predecessor's", () => {
    const { reach, whose, rings } = workers();
    const [ring] = rings;
    reach(1, 11, mallory, member(4, "Grace"));
    for (const leaf of [3, 4]) whose(1, 11, leaf);
    reach(2, 12, nina, member(4, "Grace"));
    expect(ring?.lastEpochs).toEqual(new Map([[4, 1]]));
    expect(ring?.newest).toBe(2);
  });

  it("has forgotten everything when a membership is over", () => {
    const { reach, whose, courier, rings, sealing } = workers();
    reach(5, 15, mallory);
    const held = rings[0]?.open("vp8", Uint8Array.of(5, 15, 3, 0)).holder;
    expect(held && rings[0]?.holds(held)).toBe(true);
    courier.end();
    expect(held && rings[0]?.holds(held)).toBe(false);
    expect(whose(5, 15, 3)).toBe("unknown_epoch");
    expect(rings[0]?.newest).toBeUndefined();
    expect(sealing.at(-1)).toEqual({ type: "reset" });
  });
});

it("a frame that waited for its key is refused as well when its leaf has changed hands", () => {
  const { reach, annul, rings } = workers();
  const [ring] = rings as [Keyring];
  const slot = new IncomingSlot("camera");
  const frame = (...bytes: number[]): EncodedFrame => ({
    data: Uint8Array.from(bytes).buffer,
    type: "key",
    getMetadata: () => ({ payloadType: 96 }),
  });
  const payloadTypes = { 96: "vp8" } as const;
  const shown: (string | undefined)[] = [];
  const retry = (now: number) =>
    slot.retry(payloadTypes, ring, now, (_, { deliver }) => {
      if (deliver) shown.push(slot.holder?.participant);
    });
  reach(1, 11, mallory);
  // The one waits for the key of an epoch in which its sender is gone, the other is in time.
  slot.open(frame(2, 12, 3, 0, 77), payloadTypes, ring, 0);
  slot.open(frame(3, 13, 3, 0, 78), payloadTypes, ring, 10);
  reach(2, 12, mallory);
  reach(3, 13, nina);
  retry(20);
  expect(shown).toEqual(["Nina's stay"]);
  expect(slot.dropped).toEqual({ former_holder: 1 });
  annul(3, mallory);
  expect(slot.holder && ring.holds(slot.holder)).toBe(false);
});
