import { expect } from "vitest";
import { patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

// 32 bytes, as whoever makes a link draws them. The server never sees them.
const SECRET = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY";

test("an operator invites to a call, sees who has a bad picture, removes one and closes it", async ({
  server,
  enter,
}) => {
  const made = await server.operate("POST", "rooms", { entry: "invite" });
  expect(made.status).toBe(201);
  const room: string = made.body.name;
  const invite = async (): Promise<string> => {
    const fresh = await server.operate("POST", `rooms/${room}/invites`, { uses: 1 });
    return `${server.url}/r/${room}#${SECRET}.${fresh.body.token}`;
  };
  const [forAda, forGrace] = [await invite(), await invite()];

  const ada = await enter("Ada", "chromium");
  await ada.join(forAda);
  const mallory = await enter("Mallory", "firefox", { devices: false });
  // The link without an invite, and an invite that was used.
  for (const link of [`${server.url}/r/${room}#${SECRET}`, forAda]) {
    await mallory.knock(link);
    await mallory.isStoppedBy(/You need an invitation/);
    // Another fragment alone would not load the page anew.
    await mallory.page.goto("about:blank");
  }
  const grace = await enter("Grace", "firefox");
  await grace.join(forGrace);
  await grace.sees("Ada");
  await ada.sees("Grace");

  const there = await server.operate("GET", `rooms/${room}/participants`);
  const ids: string[] = there.body.items.map((one: { id: string }) => one.id);
  expect(ids).toHaveLength(2);
  for (const id of ids) {
    const look = async () => (await server.operate("GET", `rooms/${room}/participants/${id}`)).body;
    // A rate is known once it was counted for a while.
    await expect
      .poll(async () => rates(await look()).some((rate) => rate > 20_000), patience)
      .toBe(true);
    const body = await look();
    expect(body).toMatchObject({ in_group: true, away: false, media: { state: "connected" } });
    const { exchange } = body;
    expect(exchange.transport).toBe("udp");
    const camera = exchange.sends.find(({ source }: { source: string }) => source === "camera");
    expect(camera.on).toBe(true);
    const [other] = ids.filter((one) => one !== id);
    const picture = exchange.receives.find(
      ({ participant, source }: { participant: string; source: string }) =>
        participant === other && source === "camera",
    );
    expect(picture).toMatchObject({ paused: false, size: expect.any(Number) });
  }

  // Ada came first.
  const seniors = there.body.items.toSorted((a: { since: string }, b: { since: string }) =>
    a.since.localeCompare(b.since),
  );
  const removed = await server.operate("DELETE", `rooms/${room}/participants/${seniors[1].id}`);
  expect(removed.status).toBe(204);
  await grace.isStoppedBy(/You were removed from this call/);
  await ada.seesTilesOf();
  const closed = await server.operate("DELETE", `rooms/${room}`);
  expect(closed.status).toBe(204);
  await ada.isStoppedBy(/This call was closed/);
  const events = await server.operate("GET", `rooms/${room}/events`);
  const types: string[] = events.body.items.map(({ type }: { type: string }) => type);
  expect(types.slice(0, 3)).toEqual(["room_started", "participant_joined", "participant_joined"]);
  expect(types).toContain("room_closed");
});

/** The bit rates of the sizes in which somebody's camera comes to the server. */
function rates(body: Participant): number[] {
  const camera = body.exchange?.sends.find(({ source }) => source === "camera");
  return camera?.sizes.map(({ bitrate }) => bitrate) ?? [];
}

interface Participant {
  exchange?: { sends: { source: string; sizes: { bitrate: number }[] }[] };
}
