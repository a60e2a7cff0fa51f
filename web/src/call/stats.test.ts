import { expect, it } from "vitest";
import type { IncomingReport } from "../crypto/messages";
import { collectStats } from "./stats";

const slot = (key: string, opened: number, dropped: Record<string, number>): IncomingReport => ({
  slot: key,
  worker: 0,
  accepts: key.startsWith("camera") ? "camera" : "microphone",
  holder: { leaf: 1, participant: "0000000000000001", device: "", since: 0 },
  opened,
  late: 0,
  dropped,
  epoch: 3,
  idleMs: 10,
  waiting: null,
  failing: null,
});

it("counts failures by reason, but not padding and duplicates", () => {
  const stats = collectStats({
    phase: "live",
    connection: "connected",
    members: 2,
    joinToFirstFrameMs: 700,
    roster: [
      {
        leaf: 1,
        participant: "0000000000000001",
        name: "Ada",
        is_self: false,
        is_host: false,
        device: "",
        pair_code: null,
      },
    ],
    keys: [
      { slot: "camera-0", leaf: 1, accepts: "camera", state: "current" },
      { slot: "microphone-0", leaf: 1, accepts: "microphone", state: "waiting" },
    ],
    tiles: [{ key: "camera-1", leaf: 1, source: "camera", self: false, slot: "camera-0" }],
    frames: {
      epoch: 3,
      newest: 3,
      lastEpochs: new Map([[1, 2]]),
      outgoing: [],
      incoming: [
        slot("camera-0", 50, { forged: 2, duplicate: 9 }),
        slot("microphone-0", 100, { forged: 1, unknown_epoch: 4, empty: 7 }),
      ],
    },
    video: new Map([["camera-0", { framesDecoded: 48, frameWidth: 640, frameHeight: 360 }]]),
  });
  expect(stats.openFailures).toEqual({ forged: 3, unknown_epoch: 4 });
  expect(stats.framesOpened).toBe(150);
  expect(stats.tiles).toEqual([
    {
      leaf: 1,
      name: "Ada",
      self: false,
      source: "camera",
      slot: "camera-0",
      framesOpened: 50,
      framesDecoded: 48,
      width: 640,
      height: 360,
      openFailures: { forged: 2 },
      keys: "current",
    },
  ]);
  expect(stats.others).toEqual([{ leaf: 1, name: "Ada", epoch: 2, keys: "waiting" }]);
});
