import { expect, test, vi } from "vitest";
import { ahead, inLanes, insist } from "./lanes";
import { Passing, reasonOf, Stuck } from "./trouble";

/** What comes of a problem that the server tells. */
const answer = (status: number, kind: string) =>
  reasonOf(Response.json({ type: `urn:conclave:problem:${kind}` }, { status }));

const conditions = (signal = new AbortController().signal) => ({
  signal,
  waits: vi.fn(),
  pause: async () => undefined,
});

test("every number is worked off once, and no more at a time than there are lanes", async () => {
  let busy = 0;
  let most = 0;
  const done: number[] = [];
  await inLanes([...Array(20).keys()], 4, conditions(), async (number) => {
    busy += 1;
    most = Math.max(most, busy);
    await Promise.resolve();
    busy -= 1;
    done.push(number);
  });
  expect(done.sort((a, b) => a - b)).toEqual([...Array(20).keys()]);
  expect(most).toBe(4);
});

test("what is worked off next is made ready meanwhile, each once", async () => {
  const made: number[] = [];
  const prepare = async (number: number) => {
    made.push(number);
    return number;
  };
  const done: number[] = [];
  await inLanes(ahead([...Array(20).keys()], 4, prepare), 2, conditions(), async (number) => {
    if (number === 0) expect(made.length).toBeGreaterThan(4);
    expect(made.length).toBeLessThanOrEqual(number + 2 + 4);
    await new Promise((resolve) => setTimeout(resolve));
    if (!done.includes(number)) {
      done.push(number);
      throw new Passing("unreachable");
    }
  });
  expect(made).toEqual([...Array(20).keys()]);
  expect(done.sort((a, b) => a - b)).toEqual(made);
});

test("what can't be made ready ends all lanes with its reason", async () => {
  const prepare = async (number: number) => {
    if (number === 3) throw new Stuck("unreadable");
    return number;
  };
  const work = inLanes(ahead([0, 1, 2, 3, 4, 5], 4, prepare), 2, conditions(), async () => {});
  await expect(work).rejects.toThrow("unreadable");
});

test("what passes is tried again, and whoever waits is told", async () => {
  const told = conditions();
  let failures = 3;
  const result = await insist(told, async () => {
    failures -= 1;
    if (failures > 0) throw new Passing("unreachable");
    return "done";
  });
  expect(result).toBe("done");
  expect(told.waits.mock.calls).toEqual([["server"], ["server"], [undefined]]);
});

test("whoever waits is told for what: a server that is busy is there", async () => {
  const told = conditions();
  const answers = [
    new Passing("busy"),
    await answer(503, "store-away"),
    await reasonOf(new Response("", { status: 502 })),
  ];
  await insist(told, async () => {
    const next = answers.shift();
    if (next) throw next;
  });
  expect(told.waits.mock.calls).toEqual([["storage"], ["server"], [undefined]]);
});

test("what fails again and again is given up", async () => {
  const attempt = vi.fn(async () => {
    throw new Passing("failing");
  });
  await expect(insist(conditions(), attempt)).rejects.toThrow(Stuck);
  expect(attempt).toHaveBeenCalledTimes(4);
});

test("what is stuck ends all lanes with its reason", async () => {
  const work = inLanes([0, 1, 2, 3], 2, conditions(), async (number, signal) => {
    if (number === 1) throw new Stuck("disk-full");
    await new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
    );
  });
  await expect(work).rejects.toThrow("disk-full");
});

test("who pauses stops all lanes", async () => {
  const pause = new AbortController();
  const work = inLanes([0, 1, 2], 2, conditions(pause.signal), async () => {
    pause.abort("paused");
    throw new Passing("unreachable");
  });
  await expect(work).rejects.toBe("paused");
});

test("answers are told apart by the kind of problem", async () => {
  expect(await answer(507, "disk-full")).toMatchObject({ trouble: "disk-full" });
  expect(await answer(413, "file-too-large")).toMatchObject({ trouble: "file-too-large" });
  expect(await answer(401, "stranger")).toMatchObject({ why: "stranger" });
  expect(await answer(409, "under-way")).toMatchObject({ why: "busy" });
  expect(await answer(409, "incomplete")).toMatchObject({ trouble: "no-such-file" });
  expect(await answer(500, "broken")).toMatchObject({ why: "failing" });
  expect(await answer(409, "other-bytes")).toMatchObject({ trouble: "broken" });
  expect(await reasonOf(new Response("no JSON", { status: 502 }))).toMatchObject({
    why: "unreachable",
  });
});
