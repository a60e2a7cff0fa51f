import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { findInMemory } from "./rig/memory.ts";
import { Tap } from "./rig/tap.ts";
import { test } from "./rig/test.ts";

/** What a link says: the room, which the server knows, and the secret, which it must not. */
function parts(link: string): { room: string; secret: string } {
  const { pathname, hash } = new URL(link);
  return { room: pathname.replace("/r/", ""), secret: hash.slice(1) };
}

test("a stranger with a wrong secret gets nothing, and those inside are told", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await ada.sees("Bob");

  const eve = await enter("Eve", "chromium");
  await eve.knock(link.replace(/#.*/, `#${randomBytes(32).toString("base64url")}`));
  await eve.isStoppedBy(/link/i);
  await ada.isTold(/wrong link|without the right link|turned away|stranger/i);
  await bob.isTold(/wrong link|without the right link|turned away|stranger/i);
  expect((await eve.tiles()).filter((tile) => !tile.self)).toEqual([]);
  expect(await eve.loudness()).toBe(0);

  // The call goes on as if nothing had happened.
  await ada.seesTilesOf("Bob");
  await ada.sees("Bob");
  await bob.sees("Ada");
});

test("the server holds neither the secret, nor names, nor chat: not in memory, not in logs", async ({
  enter,
  server,
}) => {
  const name = `Ada-${randomBytes(6).toString("hex")}`;
  const words = `meet me at ${randomBytes(12).toString("hex")}`;
  const ada = await enter(name, "chromium");
  const link = await ada.startCall(server.url);
  const bob = await enter("Bob", "firefox");
  await bob.join(link);
  await ada.say(words);
  await bob.reads(name, words);
  await bob.sees(name);

  const { room, secret } = parts(link);
  const rawSecret = Buffer.from(secret, "base64url");
  expect(rawSecret).toHaveLength(32);
  const needles = new Map([
    ["the room's name", Buffer.from(room)],
    ["the secret as in the link", Buffer.from(secret)],
    ["the secret's bytes", rawSecret],
    ["a display name", Buffer.from(name)],
    ["a line of chat", Buffer.from(words)],
  ]);
  const { found, bytesRead } = await findInMemory(server.pid, needles);
  expect(bytesRead).toBeGreaterThan(1_000_000);
  // The room's name shows that the search finds what is there.
  expect([...found]).toEqual(["the room's name"]);

  expect(server.log).not.toBe("");
  for (const text of [secret, rawSecret.toString("hex"), name, words]) {
    expect(server.log).not.toContain(text);
  }
});

test("the part of the link after # never leaves the browser", async ({ enter, server }) => {
  const tap = new Tap(server);
  const address = await tap.start();
  const ada = await enter("Ada", "chromium");
  const bob = await enter("Bob", "firefox");
  const link = await ada.startCall(address);
  await bob.join(link);
  await ada.sees("Bob");
  await ada.page.reload();
  tap.stop();

  const { room, secret } = parts(link);
  expect(tap.sent).toContain(`GET /r/${room} HTTP/1.1`);
  expect(tap.sent).toContain("GET /ws HTTP/1.1");
  expect(tap.sent).toContain('"type":"join"');
  expect(tap.sent).not.toContain(secret);
});
