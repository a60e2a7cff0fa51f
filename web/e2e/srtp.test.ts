import { expect } from "vitest";
import type { Server } from "./rig/server.ts";
import { test } from "./rig/test.ts";

const handshakes = async (server: Server, ...profiles: string[]): Promise<number> => {
  const counts = profiles.map((profile) =>
    server.metric(`conclave_srtp_profiles_total{profile="${profile}"}`),
  );
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
};

for (const kind of ["chromium", "firefox"] as const) {
  test(`${kind} agrees on a cheap SRTP profile`, async ({ enter, server }) => {
    const aead = ["aead_aes_128_gcm", "aead_aes_256_gcm"];
    const before = await handshakes(server, ...aead);
    const ada = await enter("Ada", kind);
    await ada.startCall(server.url);
    await expect.poll(async () => (await ada.stats()).connection).toBe("connected");
    await expect.poll(() => handshakes(server, ...aead)).toBe(before + 1);
    expect(await handshakes(server, "aes_128_cm_sha1_80")).toBe(0);
  });
}
