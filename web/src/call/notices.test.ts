import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Notices } from "./notices";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const texts = (notices: Notices) => notices.list.value.map(({ text }) => text);

it("goes away by itself, a warning later than others", () => {
  const notices = new Notices();
  notices.say("joined", "Ada joined");
  notices.say("warning", "A stranger was turned away");
  vi.advanceTimersByTime(6_000);
  expect(texts(notices)).toEqual(["A stranger was turned away"]);
  vi.advanceTimersByTime(10_000);
  expect(texts(notices)).toEqual([]);
});

it("shows the newest few, and nothing twice", () => {
  const notices = new Notices();
  for (const name of ["a", "b", "c", "b", "d", "e"]) notices.say("info", name);
  expect(texts(notices)).toEqual(["c", "b", "d", "e"]);
});

it("can be dismissed", () => {
  const notices = new Notices();
  notices.say("info", "hello");
  notices.dismiss(notices.list.value[0]?.id ?? -1);
  expect(texts(notices)).toEqual([]);
});
