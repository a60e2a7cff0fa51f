import { expect, it } from "vitest";
import type { ErrorCode } from "../protocol/ErrorCode";
import { reactionTo } from "./ending";

it.each<[ErrorCode, string]>([
  ["wrong_secret", "end"],
  ["room_full", "end"],
  ["server_full", "end"],
  ["room_busy", "rejoin"],
  ["unsupported_version", "end"],
  ["unacceptable_offer", "end"],
  ["commit_refused", "end"],
  ["draining", "end"],
  ["no_such_room", "end"],
  ["not_invited", "end"],
  ["room_closed", "end"],
  ["removed", "end"],
  ["shutting_down", "rejoin"],
  ["too_slow", "rejoin"],
  ["too_large", "rejoin"],
  ["out_of_order", "rejoin"],
  ["media_lost", "renew_media"],
  ["too_fast", "tell"],
  ["malformed", "ignore"],
])("an error %s leads to: %s", (code, reaction) => {
  expect(reactionTo(code)).toBe(reaction);
});
