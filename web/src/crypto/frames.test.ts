import { describe, expect, it } from "vitest";
import type { Attributor, EncodedFrame, Sealer } from "./frames";
import { FrameError, IncomingSlot, OutgoingTrack } from "./frames";

const payloadTypes = { 96: "vp8", 111: "opus" } as const;

function frame(
  bytes: number[],
  extra: { ssrc?: number; pt?: number; type?: "key" | "delta" } = {},
) {
  const made: EncodedFrame = {
    data: new Uint8Array(bytes).buffer,
    type: extra.type,
    getMetadata: () => ({ payloadType: extra.pt ?? 96, synchronizationSource: extra.ssrc ?? 1 }),
  };
  return made;
}

const bytesOf = (of: EncodedFrame) => [...new Uint8Array(of.data)];

describe("an outgoing frame", () => {
  const sealer: Sealer = { seal: (context, _codec, data) => Uint8Array.of(context, ...data, 99) };

  it("leaves sealed, each layer in its own context", () => {
    const track = new OutgoingTrack("camera");
    const [low, high] = [frame([7], { ssrc: 10 }), frame([8], { ssrc: 20 })];
    expect(track.seal(low, payloadTypes, sealer)).toBe(true);
    expect(track.seal(high, payloadTypes, sealer)).toBe(true);
    expect([bytesOf(low), bytesOf(high)]).toEqual([
      [1, 7, 99],
      [2, 8, 99],
    ]);
    expect(track.sealed).toBe(2);
  });

  it("does not leave while there is no key", () => {
    const track = new OutgoingTrack("microphone");
    expect(track.seal(frame([7], { pt: 111 }), payloadTypes, undefined)).toBe(false);
    expect(track.held).toEqual({ no_key: 1 });
  });

  it("does not leave when its codec is unknown", () => {
    const track = new OutgoingTrack("camera");
    const unknown = frame([7], { pt: 102 });
    expect(track.seal(unknown, payloadTypes, sealer)).toBe(false);
    expect(track.held).toEqual({ unknown_codec: 1 });
  });

  it("does not leave when sealing fails", () => {
    const track = new OutgoingTrack("camera");
    const broken: Sealer = {
      seal: () => {
        throw new FrameError("exhausted");
      },
    };
    expect(track.seal(frame([7]), payloadTypes, broken)).toBe(false);
    expect(track.held).toEqual({ exhausted: 1 });
    expect(track.sealed).toBe(0);
  });
});

describe("an incoming frame", () => {
  const holder = (leaf: number, name = "Ada") => ({
    leaf,
    participant: name,
    device: name,
    since: 0,
  });
  const opener = (leaf: number, context: number, epoch = 0, whose = holder(leaf)): Attributor => ({
    open: (_codec, data) => ({
      leaf,
      epoch,
      context,
      counter: 0n,
      frame: data.subarray(1),
      holder: whose,
    }),
  });
  const failing = (code: string): Attributor => ({
    open: () => {
      throw new FrameError(code);
    },
  });

  it("tells whose it is, once for each change", () => {
    const slot = new IncomingSlot("camera");
    const first = frame([0, 5, 6]);
    expect(slot.open(first, payloadTypes, opener(3, 1), 0)).toMatchObject({ newHolder: holder(3) });
    expect(bytesOf(first)).toEqual([5, 6]);
    expect(slot.open(frame([0]), payloadTypes, opener(3, 2), 10)).not.toHaveProperty("newHolder");
    expect(slot.open(frame([0]), payloadTypes, opener(4, 1), 20)).toMatchObject({
      newHolder: holder(4),
    });
    slot.unbind();
    expect(slot.open(frame([0]), payloadTypes, opener(4, 1), 30)).toMatchObject({
      newHolder: holder(4),
    });
    expect(slot.opened).toBe(4);
  });

  it("tells whose it is anew when its leaf has changed hands", () => {
    const slot = new IncomingSlot("camera");
    slot.open(frame([0]), payloadTypes, opener(3, 1, 1), 0);
    const next = holder(3, "Grace");
    const verdict = slot.open(frame([0]), payloadTypes, opener(3, 1, 2, next), 10);
    expect(verdict).toMatchObject({ deliver: true, newHolder: next });
    expect(slot.holder).toEqual(next);
  });

  it("is not drawn into the picture of somebody else", () => {
    const slot = new IncomingSlot("camera");
    const type = (type: "key" | "delta") => frame([0, 5], { type });
    const open = (of: EncodedFrame, leaf: number, now: number) =>
      slot.open(of, payloadTypes, opener(leaf, 1), now);
    expect(open(type("key"), 3, 10)).toMatchObject({ deliver: true, newHolder: holder(3) });
    expect(open(type("delta"), 3, 20)).toMatchObject({ deliver: true });
    // That it is told anew who is in the slot changes nothing in the picture.
    slot.unbind();
    expect(open(type("delta"), 3, 30)).toMatchObject({ deliver: true, newHolder: holder(3) });
    expect(open(type("delta"), 4, 600)).toEqual({ deliver: false, askForKeyFrame: true });
    expect(slot.holder).toEqual(holder(3));
    expect(open(type("key"), 4, 610)).toMatchObject({ deliver: true, newHolder: holder(4) });
    expect(open(type("delta"), 3, 620)).toMatchObject({ deliver: false });
    expect(slot.dropped).toEqual({ no_key_frame: 2 });
  });

  it("is set aside, and neither missed nor called unreadable, when its sender's leaf is another's", () => {
    const slot = new IncomingSlot("camera");
    for (let now = 0; now < 5_000; now += 100) {
      const verdict = slot.open(frame([1]), payloadTypes, failing("former_holder"), now);
      expect(verdict).toEqual({ deliver: false, askForKeyFrame: false });
    }
    expect(slot.dropped).toEqual({ former_holder: 50 });
    expect(slot.arrivals(5_000)).toMatchObject({ waiting: null, failing: null });
    // Who is there now is not asked for a key frame for it.
    expect(slot.open(frame([0]), payloadTypes, opener(3, 1), 5_000).askForKeyFrame).toBe(false);
  });

  it("is dropped when it belongs to another kind of slot", () => {
    const slot = new IncomingSlot("camera");
    for (const context of [0, 4, 7, 8]) {
      expect(slot.open(frame([0]), payloadTypes, opener(3, context), 0).deliver).toBe(false);
    }
    expect(slot.dropped).toEqual({ misplaced: 4 });
    expect(slot.holder).toBeUndefined();
  });

  it("is dropped when it does not open", () => {
    const slot = new IncomingSlot("camera");
    const forged = frame([1, 2]);
    expect(slot.open(forged, payloadTypes, failing("forged"), 0)).toEqual({
      deliver: false,
      askForKeyFrame: true,
    });
    expect(slot.dropped).toEqual({ forged: 1 });
  });

  it("leads to no request for a key frame when it is padding or a duplicate", () => {
    const slot = new IncomingSlot("camera");
    expect(slot.open(frame([]), payloadTypes, failing("forged"), 0).askForKeyFrame).toBe(false);
    const repeated = slot.open(frame([1]), payloadTypes, failing("duplicate"), 0);
    expect(repeated).toEqual({ deliver: false, askForKeyFrame: false });
    expect(slot.open(frame([1]), payloadTypes, opener(1, 1), 0).askForKeyFrame).toBe(false);
  });

  describe("that comes before its key", () => {
    const early = failing("unknown_epoch");
    /** What is delivered when the key comes. */
    const retry = (slot: IncomingSlot, opener: Attributor, now: number): number[][] => {
      const delivered: number[][] = [];
      slot.retry(payloadTypes, opener, now, (opened, verdict) => {
        if (verdict.deliver) delivered.push(bytesOf(opened));
      });
      return delivered;
    };

    it("waits for it, and keeps its place", () => {
      const slot = new IncomingSlot("camera");
      for (const number of [1, 2, 3]) {
        const verdict = slot.open(frame([0, number]), payloadTypes, early, number);
        expect(verdict).toEqual({ deliver: false, askForKeyFrame: false });
      }
      expect(retry(slot, early, 20)).toEqual([]);
      expect(retry(slot, opener(1, 1), 30)).toEqual([[1], [2], [3]]);
      expect(slot.dropped).toEqual({});
      expect(retry(slot, opener(1, 1), 40)).toEqual([]);
      slot.open(frame([0]), payloadTypes, opener(1, 1), 50);
      expect([slot.opened, slot.late]).toEqual([4, 3]);
    });

    it("waits for a second, and not with more than a second of others", () => {
      const slot = new IncomingSlot("camera");
      slot.open(frame([0, 1]), payloadTypes, early, 0);
      slot.open(frame([0, 2]), payloadTypes, early, 999);
      expect(slot.dropped).toEqual({});
      slot.open(frame([0, 3]), payloadTypes, early, 1000);
      expect(slot.dropped).toEqual({ unknown_epoch: 1 });
      expect(retry(slot, opener(1, 1), 1001)).toEqual([[2], [3]]);
      for (let number = 0; number < 66; number += 1) {
        slot.open(frame([0, number]), payloadTypes, early, 2000);
      }
      expect(slot.dropped).toEqual({ unknown_epoch: 3 });
      expect(retry(slot, opener(1, 1), 2001).slice(0, 2)).toEqual([[2], [3]]);
    });

    it("is of before our time when a later one opens, and a key frame is asked for", () => {
      const slot = new IncomingSlot("camera");
      slot.open(frame([1], { type: "key" }), payloadTypes, early, 0);
      const at = (now: number, type: "key" | "delta") =>
        slot.open(frame([1], { type }), payloadTypes, opener(1, 1), now).askForKeyFrame;
      expect(at(100, "delta")).toBe(true);
      expect(slot.dropped).toEqual({ unknown_epoch: 1 });
      expect(at(200, "delta")).toBe(false);
      expect(at(700, "delta")).toBe(true);
      expect(at(800, "key")).toBe(false);
      expect(at(5000, "delta")).toBe(false);
    });
  });

  it("leaves word of its epoch, of what waits for keys and of what fails, until one opens", () => {
    const slot = new IncomingSlot("camera");
    const nothing = { epoch: null, idleMs: null, waiting: null, failing: null };
    expect(slot.arrivals(0)).toEqual(nothing);
    for (const now of [100, 900]) {
      slot.open(frame([1]), payloadTypes, failing("unknown_epoch"), now);
      slot.open(frame([1]), payloadTypes, failing("forged"), now + 50);
    }
    // Neither of them says anything of the keys.
    slot.open(frame([]), payloadTypes, failing("forged"), 980);
    slot.open(frame([1]), payloadTypes, failing("duplicate"), 980);
    expect(slot.arrivals(1000)).toEqual({
      ...nothing,
      waiting: { firstMs: 900, lastMs: 100 },
      failing: { firstMs: 850, lastMs: 50 },
    });
    // After a pause it begins anew.
    slot.open(frame([1]), payloadTypes, failing("forged"), 3_000);
    expect(slot.arrivals(3_000).failing).toEqual({ firstMs: 0, lastMs: 0 });
    slot.open(frame([0]), payloadTypes, opener(1, 1, 300), 3_010);
    expect(slot.arrivals(3_020)).toEqual({ ...nothing, epoch: 300, idleMs: 10 });
    slot.open(frame([1]), payloadTypes, failing("forged"), 3_030);
    slot.unbind();
    expect(slot.arrivals(3_040)).toEqual({ ...nothing, idleMs: 30 });
  });

  it("never makes an audio slot ask for key frames", () => {
    const slot = new IncomingSlot("microphone");
    const lost = slot.open(frame([1], { pt: 111 }), payloadTypes, failing("forged"), 0);
    expect(lost.askForKeyFrame).toBe(false);
  });
});
