/** Devices, and what a credential says (docs/protocol.md §4). */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import type { Credential } from "ts-mls";

export interface Identity {
  participant: string;
  name: string;
  device: { key: string; signature: string };
}

/** What stands before the 32 bytes of an Ed25519 public key in SPKI (RFC 8410). */
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

const INVISIBLE = /[\p{Cc}\p{Cf}\u2028\u2029\u2065\u2800\u{1d159}]/u;

function claim(room: string, signatureKey: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`conclave 1 device ${room} `), signatureKey]);
}

export class Device {
  readonly #secret: KeyObject;
  /** In lowercase hexadecimal. */
  readonly key: string;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    this.#secret = privateKey;
    const spki = publicKey.export({ type: "spki", format: "der" });
    this.key = spki.subarray(SPKI.length).toString("hex");
  }

  sign(bytes: Uint8Array): string {
    return sign(null, bytes, this.#secret).toString("hex");
  }

  vouch(room: string, signatureKey: Uint8Array): Identity["device"] {
    return { key: this.key, signature: this.sign(claim(room, signatureKey)) };
  }
}

export function credential(identity: Identity): Credential {
  const json = JSON.stringify(identity);
  return { credentialType: "basic", identity: new TextEncoder().encode(json) };
}

function hasMembers(value: unknown, names: string[]): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  return Object.keys(value).sort().join() === names.sort().join();
}

function hex(value: unknown, length: number): string {
  if (typeof value === "string" && new RegExp(`^[0-9a-f]{${length}}$`).test(value)) return value;
  throw new Error("the credential cannot be read");
}

/** Throws unless it is one of ours and its device vouches for the signature key. */
export function readCredential(
  room: string,
  credential: Credential,
  signatureKey: Uint8Array,
): Identity {
  if (credential.credentialType !== "basic") throw new Error("the credential cannot be read");
  const json: unknown = JSON.parse(new TextDecoder().decode(credential.identity));
  if (
    !hasMembers(json, ["participant", "name", "device"]) ||
    !hasMembers(json.device, ["key", "signature"])
  ) {
    throw new Error("the credential cannot be read");
  }
  const name = typeof json.name === "string" ? json.name.trim() : "";
  if (name === "" || [...name].length > 64 || INVISIBLE.test(name)) {
    throw new Error("the credential cannot be read");
  }
  const device = { key: hex(json.device.key, 64), signature: hex(json.device.signature, 128) };
  const der = Buffer.concat([SPKI, Buffer.from(device.key, "hex")]);
  const key = createPublicKey({ key: der, format: "der", type: "spki" });
  const signature = Buffer.from(device.signature, "hex");
  if (!verify(null, claim(room, signatureKey), key, signature)) {
    throw new Error("the device does not vouch");
  }
  return { participant: hex(json.participant, 16), name, device };
}
