import { expect, it } from "vitest";
import { hotkeyOf, takesText } from "./hotkeys";

const press = (key: string, extra = {}) => ({
  key,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  repeat: false,
  ...extra,
});

it("knows its keys, in either case", () => {
  expect(hotkeyOf(press("m"), false)).toBe("microphone");
  expect(hotkeyOf(press("V"), false)).toBe("camera");
  expect(hotkeyOf(press("PageDown"), false)).toBe("next_page");
  expect(hotkeyOf(press("x"), false)).toBeUndefined();
  expect(hotkeyOf(press("toString"), false)).toBeUndefined();
});

it("keeps quiet while somebody types", () => {
  expect(hotkeyOf(press("m"), true)).toBeUndefined();
  expect(takesText({ tagName: "TEXTAREA" })).toBe(true);
  expect(takesText({ tagName: "SELECT" })).toBe(true);
  expect(takesText({ tagName: "BUTTON" })).toBe(false);
});

it("leaves the browser's own shortcuts and held keys alone", () => {
  for (const extra of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { repeat: true }]) {
    expect(hotkeyOf(press("c", extra), false)).toBeUndefined();
  }
});
