import { beforeEach, expect, test, vi } from "vitest";
import type { SharedFile } from "../protocol/SharedFile";
import { Origin } from "./origin.fake";

const file: SharedFile = { id: "id", key: "key", size: 9 << 20, name: "a file", kind: "" };

let origin: Origin;

beforeEach(() => {
  origin = new Origin();
  vi.stubGlobal("navigator", origin.navigator);
});

/** A window of its own. */
function openWindow() {
  vi.resetModules();
  return import("./received");
}

const nothing = async () => [];

test("what was received stays for as long as a window needs it, and no longer", async () => {
  const receiver = await openWindow();
  await (await receiver.openReceived(file)).finish();
  const next = await openWindow();
  await next.discardAllBut(nothing);
  expect(origin.entries.size).toBe(1);
  origin.closeWindows();
  await next.discardAllBut(nothing);
  expect(origin.entries.size).toBe(0);
});

test("what somebody goes on with stays when no window has it open", async () => {
  const receiver = await openWindow();
  await (await receiver.openReceived(file)).close();
  origin.closeWindows();
  const next = await openWindow();
  await next.discardAllBut(async () => [file]);
  expect(origin.entries.size).toBe(1);
  await next.discardAllBut(async () => [{ ...file, id: "another" }]);
  expect(origin.entries.size).toBe(0);
});

test("who calls a file off takes it from nobody else", async () => {
  const [one, other] = [await openWindow(), await openWindow()];
  await (await one.openReceived(file)).finish();
  await (await other.openReceived(file)).finish();
  await one.discard(file);
  expect(origin.entries.size).toBe(1);
  await other.discard(file);
  expect(origin.entries.size).toBe(0);
});

test("who can't have a file open does not keep it from being deleted", async () => {
  const [one, other] = [await openWindow(), await openWindow()];
  const sink = await one.openReceived(file);
  await expect(other.openReceived(file)).rejects.toThrow();
  await sink.close();
  await one.discard(file);
  expect(origin.entries.size).toBe(0);
});

test("what something else has left there is not taken for a part of the file", async () => {
  const { openReceived, nameOf } = await openWindow();
  const bytes = new Uint8Array(10 << 20).fill(255);
  origin.entries.set(await nameOf(file), { bytes, isOpen: false, changes: 0 });
  await (await openReceived(file)).close();
  expect((await openReceived(file)).done.size).toBe(0);
});

test("nothing happens where there is no such file system", async () => {
  origin.hasFileSystem = false;
  const { discard, discardAllBut } = await openWindow();
  await discard(file);
  await expect(discardAllBut(nothing)).rejects.toThrow("");
});
