import { expect } from "vitest";
import { withoutUdp } from "./rig/network.ts";
import { patience } from "./rig/person.ts";
import { test } from "./rig/test.ts";

test("behind a firewall without UDP, people see and hear each other over TCP", async ({
  enter,
  server,
}) => {
  const connected = 'conclave_ice_connections_total{result="connected",transport="tcp"}';
  const before = await server.metric(connected);
  await withoutUdp(3478, async () => {
    const ada = await enter("Ada", "chromium");
    const link = await ada.startCall(server.url);
    const bob = await enter("Bob", "chromium");
    await bob.join(link);

    await ada.sees("Bob");
    await bob.sees("Ada");
    await ada.hears();
    await bob.hears();
    for (const person of [ada, bob]) {
      await expect.poll(() => person.mediaTransports(), patience).toEqual(["tcp"]);
    }
    expect((await server.metric(connected)) - before).toBe(2);
  });
});
