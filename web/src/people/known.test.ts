import { describe, expect, it } from "vitest";
import type { Member } from "../protocol/Member";
import {
  type Acquaintance,
  differing,
  isNews,
  judge,
  type Known,
  nameKey,
  noted,
  readAcquaintance,
  surplus,
  unmarked,
  verified,
} from "./known";

const START = 1_000_000_000;
const BEFORE = START - 1_000_000;

const member = (leaf: number, name: string, device: string, is_self = false): Member => ({
  leaf,
  participant: `stay ${leaf}`,
  name,
  is_self,
  is_host: false,
  device,
  pair_code: is_self ? null : "00000 11111 22222 33333 44444 55555",
});

const me = member(0, "Me", "my device", true);

const met = (device: string, ...names: string[]): Acquaintance => ({
  device,
  names,
  firstSeen: BEFORE,
  lastSeen: BEFORE,
  verified: null,
  differed: null,
});

const knowing = (...all: Acquaintance[]): Known => new Map(all.map((one) => [one.device, one]));

const standingOf = (one: Member, known: Known) => judge([me, one], known, START).get(one.leaf);

describe("judging", () => {
  const ada = member(1, "Ada", "phone");

  it("knows whom it has met before, and marks whom it has not", () => {
    expect(standingOf(ada, knowing())?.standing).toBe("new");
    expect(standingOf(ada, knowing(met("phone", "Ada")))?.standing).toBe("known");
    const today = noted(undefined, ada, START);
    expect(standingOf(ada, knowing(today))?.standing).toBe("new");
  });

  it("has no opinion about oneself, nor about oneself in another window", () => {
    const judged = judge([me, member(1, "Me", "my device")], knowing(), START);
    expect(judged.has(0)).toBe(false);
    expect(judged.get(1)?.standing).toBe("own");
  });

  it("shows a mark on the device that has it", () => {
    const marked = verified(met("phone", "Ada"), ada, BEFORE);
    expect(standingOf(ada, knowing(marked))?.standing).toBe("verified");
  });

  it("warns of a known name on another device, and says which one is known", () => {
    const known = knowing(met("laptop", "Ada"), met("tablet", "Grace", "Ada"));
    const judgement = standingOf(ada, known);
    expect(judgement?.standing).toBe("changed");
    expect(judgement?.others.map(({ device }) => device)).toEqual(["laptop", "tablet"]);
  });

  it.each([["ada"], ["ADA "], ["\uff21\uff44\uff41"], ["A\u00add\u034fa"]])(
    "takes %j for Ada",
    (name) => {
      const known = knowing(met("laptop", "Ada"));
      expect(standingOf(member(1, name, "phone"), known)?.standing).toBe("changed");
    },
  );

  it("does not warn when one of several known devices comes back", () => {
    const known = knowing(met("laptop", "Ada"), met("phone", "Ada"));
    expect(standingOf(ada, known)?.standing).toBe("known");
    expect(standingOf(ada, known)?.others).toEqual([]);
  });

  it("warns of a known, even a verified device that takes another's name", () => {
    const grace = verified(met("phone", "Grace"), member(1, "Grace", "phone"), BEFORE);
    const judgement = standingOf(ada, knowing(met("laptop", "Ada"), grace));
    expect(judgement).toMatchObject({ standing: "changed", formerly: "Grace" });
  });

  it("says what somebody was called before", () => {
    const known = knowing(met("phone", "Countess"));
    expect(standingOf(ada, known)).toMatchObject({ standing: "known", formerly: "Countess" });
    expect(standingOf(ada, knowing(met("phone", "ADA")))?.formerly).toBeUndefined();
  });

  it("takes two strangers of one name for what they are", () => {
    const judged = judge([me, ada, member(2, "Ada", "laptop")], knowing(), START);
    expect([...judged.values()].map(({ standing }) => standing)).toEqual(["new", "new"]);
    // Who comes later has somebody else's name.
    const known = knowing(noted(undefined, ada, START));
    expect(standingOf(member(2, "Ada", "laptop"), known)?.standing).toBe("changed");
  });

  it("does not forget that digits differed", () => {
    const doubted = differing(met("phone", "Ada"), ada, BEFORE);
    expect(standingOf(ada, knowing(doubted))?.standing).toBe("differs");
    const renamed = member(1, "Someone", "phone");
    expect(standingOf(renamed, knowing(doubted))?.standing).toBe("differs");
  });
});

describe("remembering", () => {
  const ada = { device: "phone", name: "Ada" };

  it("keeps marks over calls and new names", () => {
    const marked = verified(met("phone", "Ada"), ada, 5);
    const later = noted(marked, { device: "phone", name: "Countess" }, START);
    expect(later).toMatchObject({ verified: 5, names: ["Ada", "Countess"], lastSeen: START });
    expect(noted(later, ada, START).names).toEqual(["Countess", "Ada"]);
  });

  it("gives no mark by itself, and takes the other one away with each", () => {
    expect(noted(undefined, ada, 5)).toMatchObject({ verified: null, differed: null });
    const doubted = differing(verified(undefined, ada, 5), ada, 6);
    expect(doubted).toMatchObject({ verified: null, differed: 6 });
    expect(verified(doubted, ada, 7)).toMatchObject({ verified: 7, differed: null });
    expect(unmarked(doubted, ada, 8)).toMatchObject({ verified: null, differed: null });
  });

  it("does not let a doubted device collect names", () => {
    const doubted = differing(met("phone", "Ada"), ada, 5);
    const again = { device: "phone", name: "Grace" };
    expect(noted(doubted, again, 6).names).toEqual(["Ada"]);
    expect(isNews(doubted, again, doubted.lastSeen)).toBe(false);
  });

  it("writes down only what is new", () => {
    const before = met("phone", "Ada");
    expect(isNews(undefined, ada, BEFORE)).toBe(true);
    expect(isNews(before, { ...ada, name: "ada" }, BEFORE + 60_000)).toBe(false);
    expect(isNews(before, { ...ada, name: "Countess" }, BEFORE + 60_000)).toBe(true);
    expect(isNews(before, ada, BEFORE + 24 * 3_600_000)).toBe(true);
  });

  it("is done at some point with a device that has ever more names", () => {
    let before = noted(undefined, ada, BEFORE);
    for (let i = 0; i < 100; i += 1) before = noted(before, { ...ada, name: `Ada ${i}` }, BEFORE);
    expect(before.names).toHaveLength(8);
    expect(isNews(before, { ...ada, name: "Ada 99" }, BEFORE)).toBe(false);
  });

  it("forgets those first who were not seen for longest, and none with a mark", () => {
    const old = { ...met("old", "A"), lastSeen: 1 };
    const marked = { ...met("marked", "B"), lastSeen: 0, verified: 1 };
    const doubted = { ...met("doubted", "C"), lastSeen: 0, differed: 1 };
    const recent = met("recent", "D");
    const known = knowing(recent, old, marked, doubted);
    expect(surplus(known, 4)).toEqual([]);
    expect(surplus(known, 3)).toEqual(["old"]);
    expect(surplus(known, 0)).toEqual(["old", "recent"]);
  });

  it("reads back what it wrote and nothing else", () => {
    const one = verified(met("phone", "Ada"), ada, 5);
    expect(readAcquaintance(structuredClone(one))).toEqual(one);
    for (const wrong of [null, "Ada", {}, { ...one, names: [1] }, { ...one, verified: true }]) {
      expect(readAcquaintance(wrong)).toBeUndefined();
    }
  });
});

it("compares names as people see them", () => {
  expect(nameKey(" Stra\u00dfe  7 ")).toBe(nameKey("STRASSE 7"));
  expect(nameKey("Zoe\u0308")).toBe(nameKey("zo\u00eb"));
  expect(nameKey("\u2121")).toBe(nameKey("tel"));
  expect(nameKey("Ada")).not.toBe(nameKey("Adam"));
});

it.each([
  ["a Braille pattern without dots", "\u2800"],
  ["an interlinear annotation", "\ufff9"],
  ["its separator", "\ufffa"],
  ["its end", "\ufffb"],
  ["a note without a head", "\u{1d159}"],
  ["the beginning of a beam", "\u{1d173}"],
  ["a Khitan filler", "\u{16fe4}"],
  ["a Hangul filler", "\u3164"],
  ["a format character that is no ignorable one", "\u{13437}"],
  ["a number sign that spans nothing", "\u0600"],
  ["a tag", "\u{e0041}"],
  ["a control character", "\u0007"],
  ["a space where no letter breaks", "\u202f"],
])("%s makes no other name", (_, blank) => {
  const name = "Ada Lovelace";
  for (const like of [
    `${blank}${name}`,
    `${name}${blank}`,
    `${name}${blank} ${blank}`,
    `Ada${blank}Lovelace`,
    `A${blank}da Lovelace`,
  ]) {
    expect(nameKey(like)).toBe(nameKey(name));
  }
});
