import { expect, it } from "vitest";
import { explain, ofDevices, ofTrouble } from "./words";

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
