import { expect, test } from "vitest";
import { Turns } from "./turns";

/** Applies after as many rounds of the event loop as the value says. */
async function slow(rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round += 1) await Promise.resolve();
}

test("what is set last stands in the end, even when what came before takes longer", async () => {
  let stands = 0;
  const turns = new Turns<string, number>(async (_, value) => {
    await slow(value);
    stands = value;
  });
  void turns.set("microphone", 50);
  await slow(10);
  await turns.set("microphone", 1);
  await slow(100);
  expect(stands).toBe(1);
});

test("a failure is told to its caller and stops nobody else", async () => {
  const applied: number[] = [];
  const turns = new Turns<string, number>(async (_, value) => {
    if (value < 0) throw new Error("no such device");
    applied.push(value);
  });
  await expect(turns.set("camera", -1)).rejects.toThrow("no such device");
  await turns.set("camera", 2);
  expect(applied).toEqual([2]);
});

test("what was set last can be applied once more, and nothing that never was", async () => {
  const applied: string[] = [];
  const turns = new Turns<string, string>(async (key, value) => void applied.push(key + value));
  await turns.again("camera");
  await turns.set("camera", "1");
  await turns.again("camera");
  expect(applied).toEqual(["camera1", "camera1"]);
});
