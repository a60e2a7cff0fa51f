import { expect, it } from "vitest";
import type { Member } from "../protocol/Member";
import { cleanName, initials, rosterChange, tint } from "./roster";

const member = (participant: string, is_self = false): Member => ({
  leaf: 0,
  participant,
  name: participant,
  is_self,
  is_host: false,
  device: participant,
  pair_code: null,
});

it("tells who came and who went, but not about ourselves", () => {
  const before = [member("me", true), member("ada"), member("grace")];
  const after = [member("me2", true), member("grace"), member("alan")];
  const { joined, left } = rosterChange(before, after);
  expect(joined.map(({ name }) => name)).toEqual(["alan"]);
  expect(left.map(({ name }) => name)).toEqual(["ada"]);
});

it.each([
  ["Ada Lovelace", "AL"],
  ["ada", "A"],
  ["  Grace  Brewster  Hopper ", "GH"],
  ["李雷", "李"],
  ["🦊 Fox", "🦊F"],
  ["", "?"],
])("shortens %j to %s", (name, short) => {
  expect(initials(name)).toBe(short);
});

it("keeps a name's colour", () => {
  expect(tint("Ada", 8)).toBe(tint("Ada", 8));
  const used = new Set(Array.from({ length: 100 }, (_, i) => tint(`Person ${i}`, 8)));
  expect(used.size).toBe(8);
});

it.each([
  ["  Ada \t Lovelace ", "Ada Lovelace"],
  ["Ada\u202ecaL", "AdacaL"],
  ["\u200b\u2060", ""],
  ["\u2800Ada\u00ad\u{1d159}\ufff9", "Ada"],
  ["A\u0007da", "Ada"],
  ["Zoë 🦊", "Zoë 🦊"],
])("makes a name of %j", (typed, name) => {
  expect(cleanName(typed)).toBe(name);
});
