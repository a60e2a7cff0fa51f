import { describe, expect, it } from "vitest";
import type { VisitorJudgement } from "../people/people";
import { explain, ofDevices, ofTrouble, ofVisitor } from "./words";

it("says once what two devices have in common", () => {
  expect(ofDevices({ camera: "denied", microphone: "denied" })).toEqual([
    expect.stringContaining("your camera and microphone"),
  ]);
  expect(ofDevices({ camera: "busy", microphone: "missing" })).toHaveLength(2);
  expect(ofDevices({ microphone: "missing" })).toEqual([
    expect.stringContaining("No microphone was found"),
  ]);
  expect(ofDevices({})).toEqual([]);
});

it("explains every trouble without the words of programmers", () => {
  for (const { title, text } of Object.values(ofTrouble)) {
    expect(title.length).toBeGreaterThan(10);
    expect(text).toMatch(/\.$/);
    expect(`${title} ${text}`).not.toMatch(
      /\b(error|null|undefined|MLS|SDP|ICE|epoch|commit|code)\b/i,
    );
  }
});

it("says how many a full call takes and what to do", () => {
  const detail = "the room is full: it takes 500 participants, and all are here. Try again";
  const { text } = explain("room_full", detail);
  expect(text).toContain("500 people");
  expect(text).toContain("ask whoever runs the server");
  expect(explain("room_full", "no number")).toBe(ofTrouble.room_full);
  expect(explain("server_full", detail)).toBe(ofTrouble.server_full);
});

describe("who wants to join", () => {
  const judged = (change: Partial<VisitorJudgement>): VisitorJudgement => ({
    standing: "known",
    others: [],
    formerly: undefined,
    wasVerified: false,
    beside: false,
    ...change,
  });
  const of = (change: Partial<VisitorJudgement>) => ofVisitor("Ada", judged(change));

  it("is announced quietly when there is nothing to doubt, or nothing known", () => {
    const calm = { title: "Ada wants to join", loud: "" };
    expect(of({})).toMatchObject({ ...calm, text: "On a device that you have met before." });
    expect(of({ standing: "verified" })).toMatchObject({
      ...calm,
      text: "On a device that you have verified.",
    });
    for (const stranger of [of({ standing: "new" }), ofVisitor("Ada", undefined)]) {
      expect(stranger).toMatchObject({ ...calm, text: expect.stringContaining("new to you") });
    }
    expect(of({ standing: "own" })).toMatchObject(calm);
  });

  it("is doubted on a device that has somebody else's name", () => {
    const { title, text, loud } = of({ standing: "changed" });
    expect([title, loud]).toEqual(["Careful: is this really Ada?", "careful"]);
    expect(text).toContain("You have met Ada before on another device.");
    expect(text).toContain("someone who uses Ada’s name");
    const grave = of({ standing: "changed", wasVerified: true, beside: true });
    expect(grave.loud).toBe("grave");
    expect(grave.text).toContain("had verified it, and that one is in this call as well");
    const mallory = of({ standing: "changed", wasVerified: true, formerly: "Mallory" });
    expect(mallory.text).toContain("You know this device as Mallory.");
  });

  it("is not said to be verified under a name that was not", () => {
    const known = of({ formerly: "Mallory" });
    expect(known.title).toBe("A device that you know as Mallory wants to join as Ada.");
    const verified = of({ standing: "verified", formerly: "Mallory" });
    expect(verified.text).toContain("have verified it under that name");
    for (const { text, loud } of [known, verified]) {
      expect(loud).toBe("careful");
      expect(text).toContain("It may not be Ada");
    }
  });

  it("is not to be trusted when the digits differed, whatever the name is now", () => {
    for (const formerly of [undefined, "Mallory"]) {
      const { title, text, loud } = of({ standing: "differs", formerly });
      expect([title, loud]).toEqual(["Don’t trust that this is Ada.", "grave"]);
      expect(text).toContain("they differed");
      expect(text.includes("as Mallory")).toBe(formerly !== undefined);
    }
  });
});
