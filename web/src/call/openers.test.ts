import { describe, expect, it } from "vitest";
import type { IncomingReport } from "../crypto/messages";
import { mergeReports, openerOf, openersFor } from "./openers";

describe("the workers that open frames", () => {
  it("are as many as the machine has cores to spare, and never too many", () => {
    expect([1, 2, 3, 4, 5, 64].map((cores) => openersFor(cores, true))).toEqual([1, 1, 1, 2, 3, 3]);
  });

  it("are one where workers can share no memory, so that there is no second window", () => {
    expect([1, 8].map((cores) => openersFor(cores, false))).toEqual([1, 1]);
  });

  it("share the pictures evenly, and leave the sounds to one", () => {
    const cameras = Array.from({ length: 7 }, (_, index) => openerOf("camera", index, 3));
    expect(cameras).toEqual([1, 2, 0, 1, 2, 0, 1]);
    expect([0, 1, 2, 3].map((index) => openerOf("microphone", index, 3))).toEqual([0, 0, 0, 0]);
    expect(openerOf("camera", 5, 1)).toBe(0);
  });
});

describe("what they count", () => {
  const sealing = { epoch: 4, outgoing: [] };
  const counted = (slot: string) => ({ slot }) as IncomingReport;

  it("is put together, each member at the newest epoch", () => {
    const merged = mergeReports(sealing, [
      { newest: 5, lastEpochs: new Map([[1, 4]]), incoming: [counted("camera-1")] },
      {
        newest: 4,
        lastEpochs: new Map([
          [1, 3],
          [2, 4],
        ]),
        incoming: [counted("camera-0")],
      },
    ]);
    expect(merged).toEqual({
      epoch: 4,
      outgoing: [],
      newest: 5,
      lastEpochs: new Map([
        [1, 4],
        [2, 4],
      ]),
      incoming: [{ slot: "camera-1" }, { slot: "camera-0" }],
    });
  });

  it("is nothing when one does not answer", () => {
    expect(
      mergeReports(sealing, [{ newest: 5, lastEpochs: new Map(), incoming: [] }, undefined]),
    ).toBeUndefined();
  });
});
