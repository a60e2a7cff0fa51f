import { expect, it } from "vitest";
import { generatePair, type KeyShelf, loadDevice } from "./device";

class Shelf implements KeyShelf {
  pair: CryptoKeyPair | undefined;

  async load() {
    return this.pair;
  }

  async keep(pair: CryptoKeyPair) {
    this.pair ??= pair;
    return this.pair;
  }
}

async function signs(key: Uint8Array, message: Uint8Array, signature: Uint8Array) {
  const raw = Uint8Array.from(key);
  const imported = await crypto.subtle.importKey("raw", raw, "Ed25519", true, ["verify"]);
  const of = { signature: Uint8Array.from(signature), message: Uint8Array.from(message) };
  return crypto.subtle.verify("Ed25519", imported, of.signature, of.message);
}

it("makes a key once and signs with it", async () => {
  const shelf = new Shelf();
  const first = await loadDevice(shelf);
  const again = await loadDevice(shelf);
  expect(first.key).toHaveLength(32);
  expect(again.key).toEqual(first.key);
  expect(again.lasting).toBe(true);
  const message = new TextEncoder().encode("a claim");
  const signature = await again.sign(message);
  expect(signature).toHaveLength(64);
  expect(await signs(first.key, message, signature)).toBe(true);
});

it("keeps the private half where nobody can read it", async () => {
  const { privateKey } = await generatePair();
  expect(privateKey.extractable).toBe(false);
});

it("is one device in two windows that are opened at once", async () => {
  const shelf = new Shelf();
  const [one, other] = await Promise.all([loadDevice(shelf), loadDevice(shelf)]);
  expect(one.key).toEqual(other.key);
});

it("has a key for one call where nothing can be stored, and says so", async () => {
  const none = () => Promise.reject(new DOMException("no storage", "SecurityError"));
  for (const shelf of [
    { load: none, keep: none },
    { load: async () => undefined, keep: none },
  ]) {
    const device = await loadDevice(shelf);
    expect(device.lasting).toBe(false);
    expect(await device.sign(new Uint8Array([1]))).toHaveLength(64);
  }
});
