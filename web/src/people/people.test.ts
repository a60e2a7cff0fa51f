import { signal } from "@preact/signals";
import { describe, expect, it } from "vitest";
import type { Member } from "../protocol/Member";
import type { Acquaintance } from "./known";
import { People } from "./people";
import type { Change, PeopleStore } from "./store";

/** What a browser keeps, without a browser. Each call of it is answered a little later. */
class Memory implements PeopleStore {
  readonly kept = new Map<string, Acquaintance>();
  writes = 0;

  async all() {
    return [...this.kept.values()];
  }

  async change(devices: readonly string[], change: Change) {
    this.writes += 1;
    return devices.map((device) => {
      const after = change(this.kept.get(device), device);
      this.kept.set(device, after);
      return after;
    });
  }

  async forget(devices: readonly string[]) {
    for (const device of devices) this.kept.delete(device);
  }

  watch() {
    return () => undefined;
  }
}

const member = (leaf: number, name: string, device: string): Member => ({
  leaf,
  participant: `stay ${leaf}`,
  name,
  is_self: leaf === 0,
  is_host: false,
  device,
  pair_code: leaf === 0 ? null : "00000 11111 22222 33333 44444 55555",
});

const me = member(0, "Me", "mine");
const ada = member(1, "Ada", "laptop");
const otherAda = member(2, "ada", "phone");

let clock = 1_000;

/** A call in which these are from the start. */
async function call(store: PeopleStore, ...others: Member[]) {
  clock += 1_000_000;
  const roster = signal<readonly Member[]>([me, ...others]);
  const people = new People(roster, store, () => clock);
  const settle = () => new Promise((resolve) => setTimeout(resolve, 5));
  await settle();
  return { roster, people, settle, standing: (leaf: number) => people.judged.value.get(leaf) };
}

it("knows people again in the next call, with the mark that they were given", async () => {
  const store = new Memory();
  const first = await call(store, ada);
  expect(first.standing(1)?.standing).toBe("new");
  const second = await call(store, ada);
  expect(second.standing(1)?.standing).toBe("known");
  second.people.verify(ada);
  // Who sees the mark may close the window: it is written down by then.
  expect(second.standing(1)?.standing).toBe("known");
  await second.settle();
  expect(store.kept.get("laptop")?.verified).not.toBeNull();
  expect(second.standing(1)?.standing).toBe("verified");
  const third = await call(store, ada);
  expect(third.standing(1)?.standing).toBe("verified");
  third.people.unmark(ada);
  await third.settle();
  expect((await call(store, ada)).standing(1)?.standing).toBe("known");
});

it("warns of another device under a known name until it is accepted, and not again", async () => {
  const store = new Memory();
  await call(store, ada);
  for (let time = 0; time < 2; time += 1) {
    // That it was seen does not make it known.
    const { people } = await call(store, otherAda);
    expect(people.alarms.value).toMatchObject([
      { kind: "changed", wasVerified: false, beside: false, present: true },
    ]);
  }
  const { people, settle } = await call(store, otherAda);
  people.accept(otherAda);
  await settle();
  expect(people.alarms.value).toEqual([]);
  const later = await call(store, otherAda);
  expect(later.people.alarms.value).toEqual([]);
  expect(later.standing(2)?.standing).toBe("known");
});

it("says when the one before was verified, and when both are here", async () => {
  const store = new Memory();
  const { people, settle } = await call(store, ada);
  people.verify(ada);
  await settle();
  const { people: later } = await call(store, ada, otherAda);
  expect(later.alarms.value).toMatchObject([{ wasVerified: true, beside: true }]);
});

it("goes on warning after the person has left, and again when they return", async () => {
  const store = new Memory();
  await call(store, ada);
  const { people, roster } = await call(store, otherAda);
  roster.value = [me];
  expect(people.alarms.value).toMatchObject([{ present: false }]);
  for (const alarm of people.alarms.value) people.dismiss(alarm);
  expect(people.alarms.value).toEqual([]);
  roster.value = [me, { ...otherAda, leaf: 3 }];
  expect(people.alarms.value).toMatchObject([{ present: true }]);
  roster.value = [me, { ...otherAda, leaf: 4 }];
  expect(people.alarms.value).toHaveLength(1);
});

it("warns in every call of a device whose digits differed", async () => {
  const store = new Memory();
  const first = await call(store, ada);
  first.people.distrust(ada);
  await first.settle();
  expect(first.people.alarms.value).toMatchObject([{ kind: "differs" }]);
  const second = await call(store, ada);
  const [alarm] = second.people.alarms.value;
  expect(alarm?.kind).toBe("differs");
  if (alarm) second.people.dismiss(alarm);
  second.roster.value = [me, ada];
  expect(second.people.alarms.value).toEqual([]);
  expect(second.standing(1)?.standing).toBe("differs");
  expect((await call(store, ada)).people.alarms.value).toHaveLength(1);
});

it("keeps a mark that another window has made meanwhile", async () => {
  const store = new Memory();
  await call(store, ada);
  const here = await call(store, ada);
  const there = await call(store, ada);
  there.people.verify(ada);
  await there.settle();
  here.roster.value = [me, { ...ada, name: "Countess" }];
  await here.settle();
  expect(store.kept.get("laptop")?.verified).not.toBeNull();
  expect(store.kept.get("laptop")?.names).toEqual(["Ada", "Countess"]);
});

it("does not write over and over, whatever one device is called", async () => {
  const store = new Memory();
  const crowd = Array.from({ length: 30 }, (_, i) => member(i + 1, `Ada ${i}`, "laptop"));
  const { settle } = await call(store, ...crowd);
  for (let i = 0; i < 20; i += 1) await settle();
  const { writes } = store;
  await settle();
  expect(store.writes).toBe(writes);
  expect(writes).toBeLessThan(20);
});

it("says when what it reads can not be written back", async () => {
  const store = new Memory();
  store.change = () => Promise.reject(new Error("the disk is full"));
  const { people, standing } = await call(store, ada);
  expect(people.lasting.value).toBe(false);
  expect(standing(1)?.standing).toBe("new");
});

it("works for one call where nothing can be stored, and says so", async () => {
  const none = () => Promise.reject(new Error("no storage"));
  const store: PeopleStore = { all: none, change: none, forget: none, watch: () => () => {} };
  const { people, standing, settle, roster } = await call(store, ada);
  expect(people.lasting.value).toBe(false);
  people.verify(ada);
  await settle();
  expect(standing(1)?.standing).toBe("verified");
  roster.value = [me, ada, otherAda];
  expect(people.alarms.value).toHaveLength(1);
});

describe("somebody who waits before the door", () => {
  const mallory = member(5, "Mallory", "mallory's");
  const as = (name: string, { device }: Member) => ({ name, device });

  it("is judged like somebody in the call", async () => {
    const store = new Memory();
    const { people } = await call(store, ada);
    expect(people.judgeVisitor(as("Bob", mallory))).toMatchObject({ standing: "new" });
    const later = await call(store);
    expect(later.people.judgeVisitor(ada)).toMatchObject({ standing: "known", beside: false });
    later.people.verify(ada);
    await later.settle();
    expect(later.people.judgeVisitor(ada)).toMatchObject({ standing: "verified" });
    expect(later.people.judgeVisitor(as("Me", me))).toMatchObject({ standing: "own" });
  });

  it("is doubted under a name that is known on another device", async () => {
    const store = new Memory();
    await call(store, ada);
    const { people, settle } = await call(store);
    const doubt = { standing: "changed", wasVerified: false, beside: false, formerly: undefined };
    expect(people.judgeVisitor(otherAda)).toMatchObject(doubt);
    people.verify(ada);
    await settle();
    expect(people.judgeVisitor(otherAda)).toMatchObject({ ...doubt, wasVerified: true });
    const { people: beside } = await call(store, ada);
    const graver = { ...doubt, wasVerified: true, beside: true };
    expect(beside.judgeVisitor(otherAda)).toMatchObject(graver);
  });

  it("does not take a mark along to another name", async () => {
    const store = new Memory();
    const { people, settle } = await call(store, mallory);
    people.verify(mallory);
    await settle();
    const renamed = { standing: "verified", formerly: "Mallory" };
    expect(people.judgeVisitor(as("Ada", mallory))).toMatchObject(renamed);
    const { people: later } = await call(store, ada);
    const posing = { standing: "changed", formerly: "Mallory", beside: true };
    expect(later.judgeVisitor(as("ada", mallory))).toMatchObject(posing);
  });

  it("is not just somebody known when the digits differed", async () => {
    const store = new Memory();
    const { people, settle } = await call(store, mallory);
    people.distrust(mallory);
    await settle();
    const { people: later } = await call(store);
    for (const name of ["Mallory", "Ada"]) {
      expect(later.judgeVisitor(as(name, mallory))).toMatchObject({ standing: "differs" });
    }
  });

  it("is not called new before it is known who is", () => {
    const people = new People(signal([me]), new Memory());
    expect(people.judgeVisitor(ada)).toBeUndefined();
  });
});
