import { expect } from "vitest";
import type { Person } from "./rig/person.ts";
import type { Server } from "./rig/server.ts";
import { test } from "./rig/test.ts";

const AEAD = ["aead_aes_128_gcm", "aead_aes_256_gcm"];

for (const kind of ["chromium", "firefox"] as const) {
  test(`${kind} and the server agree on cheap packets and on sound that repairs itself`, async ({
    enter,
    server,
  }) => {
    const before = await handshakes(server, AEAD);
    const ada = await enter("Ada", kind);
    await ada.startCall(server.url);
    await expect.poll(() => handshakes(server, AEAD)).toBe(before + 1);
    expect(await handshakes(server, ["aes_128_cm_sha1_80"])).toBe(0);

    const opus = await opusFormats(ada);
    expect(opus.length).toBeGreaterThan(0);
    for (const format of opus) expect(format).toContain("useinbandfec=1");
  });
}

/** How many connections have ended up with one of these SRTP profiles. */
async function handshakes(server: Server, profiles: string[]): Promise<number> {
  const counts = await Promise.all(
    profiles.map((profile) => server.metric(`conclave_srtp_profiles_total{profile="${profile}"}`)),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What the server's answer says about Opus, once for each section of sound. */
function opusFormats(person: Person): Promise<string[]> {
  return person.ask(async ([connection]) => {
    const sections = connection?.remoteDescription?.sdp.split(/^m=/m).slice(1) ?? [];
    return sections
      .filter((section) => section.startsWith("audio"))
      .map((section) => {
        const [, type] = /a=rtpmap:(\d+) opus\//i.exec(section) ?? [];
        return new RegExp(`a=fmtp:${type} .*`).exec(section)?.[0] ?? "";
      });
  });
}
