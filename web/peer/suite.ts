/**
 * The group's cipher suite as ts-mls can be brought to it.
 *
 * ts-mls has every part of 0x004E, but another table of code points: what it calls 0x004E was an
 * idea of an earlier draft (ML-KEM-512 alone). A suite is a record, though, and of its name ts-mls
 * uses nothing but the number that it stands for. So the record below has the parts of
 * draft-ietf-mls-pq-ciphersuites under the name that is written as 0x004E.
 */
import { type Ciphersuite, ciphersuites, getCiphersuiteImpl } from "ts-mls";

const SUITE = {
  name: "MLS_128_MLKEM512_CHACHA20POLY1305_SHA256_Ed25519",
  hash: "SHA-384",
  hpke: { kem: "X-Wing", kdf: "HKDF-SHA384", aead: "AES256GCM" },
  signature: "Ed25519",
} as const satisfies Ciphersuite;

export const SUITE_NAME = SUITE.name;

if (ciphersuites[SUITE_NAME] !== 0x004e) throw new Error("ts-mls has other code points now");

export const suite = await getCiphersuiteImpl(SUITE);
