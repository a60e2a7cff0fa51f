/** Digits that people compare (docs/protocol.md §5). */
import { createHash, hkdfSync } from "node:crypto";

function digits(secret: Uint8Array, purpose: string): string {
  const bytes = Buffer.from(hkdfSync("sha256", secret, "", `conclave 1 digits ${purpose}`, 48));
  const group = (place: number) => String(bytes.readBigUInt64BE(8 * place) % 100_000n);
  return [0, 1, 2, 3, 4, 5].map((place) => group(place).padStart(5, "0")).join(" ");
}

export function callCode(epochAuthenticator: Uint8Array): string {
  return digits(epochAuthenticator, "call");
}

/** The keys as a credential has them: lowercase hexadecimal, whose order is that of the bytes. */
export function pairCode(one: string, other: string): string {
  const hash = createHash("sha256").update("conclave 1 pair ");
  for (const key of [one, other].sort()) hash.update(key, "hex");
  return digits(hash.digest(), "pair");
}
