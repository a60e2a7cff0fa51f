import { describe, expect, it } from "vitest";
import { type Place, Succession, vacated } from "./holders";

const place = (leaf: number, name: string, device = `${name}'s device`): Place => ({
  leaf,
  participant: `${name}'s stay`,
  device,
});
const ada = place(0, "ada");
const mallory = place(3, "mallory");
const nina = place(3, "nina");

describe("leaves", () => {
  const since = (succession: Succession, epoch: number, ...roster: Place[]) =>
    succession.enter(epoch, roster).holders.map((holder) => holder.since);

  it("are held since the first epoch that we know", () => {
    expect(since(new Succession(), 7, ada, mallory)).toEqual([7, 7]);
  });

  it("stay with whoever has them, whatever their members change about themselves", () => {
    const succession = new Succession();
    since(succession, 1, ada);
    const renamed = { ...ada, name: "Countess", is_host: true };
    expect(since(succession, 2, renamed, mallory)).toEqual([1, 2]);
    expect(since(succession, 3, ada, mallory)).toEqual([1, 2]);
  });

  it("change hands with a commit that removes one member and adds another", () => {
    const succession = new Succession();
    since(succession, 1, ada, mallory);
    expect(since(succession, 2, ada, nina)).toEqual([1, 2]);
  });

  it("change hands, though the server gives the next one the same number", () => {
    const succession = new Succession();
    since(succession, 1, ada, mallory);
    expect(since(succession, 2, ada, place(3, "mallory", "nina's device"))).toEqual([1, 2]);
  });

  it("begin anew for who leaves and comes back", () => {
    const succession = new Succession();
    since(succession, 1, ada, mallory);
    since(succession, 2, ada);
    expect(since(succession, 3, ada, mallory)).toEqual([1, 3]);
  });

  it("are again those of before when an epoch is annulled", () => {
    const succession = new Succession();
    const before = succession.enter(1, [ada, mallory]);
    succession.enter(2, [ada, nina]);
    expect(succession.forget(2)).toEqual(before);
    // The epoch comes once more, by another commit.
    expect(since(succession, 2, ada, mallory)).toEqual([1, 1]);
  });

  it("are not changed by an old key that is wiped", () => {
    const succession = new Succession();
    since(succession, 1, ada, mallory);
    since(succession, 2, ada, mallory);
    expect(succession.forget(1)).toBeUndefined();
    expect(since(succession, 3, ada, mallory)).toEqual([1, 1]);
  });

  it("count from the beginning in a group that is founded anew", () => {
    const succession = new Succession();
    since(succession, 56, ada);
    since(succession, 57, ada, mallory);
    expect([succession.forget(56), succession.forget(57)]).toEqual([undefined, undefined]);
    expect(since(succession, 0, ada)).toEqual([0]);
    // Even if the keys of the old one are still there.
    const other = new Succession();
    since(other, 57, ada);
    expect(since(other, 0, ada)).toEqual([0]);
  });
});

it("a leaf is vacated when its holder is gone or another", () => {
  const roster = [ada, place(1, "grace"), mallory];
  expect(vacated(roster, roster)).toEqual([]);
  expect(vacated(roster, [ada, nina])).toEqual([1, 3]);
  expect(vacated([], roster)).toEqual([]);
});
