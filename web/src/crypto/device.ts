/**
 * The device's lasting key, by which others know it again: Ed25519 (RFC 8032), made by the
 * browser, which lets nobody read its private half, not even this page.
 */
import { answer, transact } from "../storage/database";

export interface Device {
  /** The public key, 32 bytes. */
  readonly key: Uint8Array;
  /** False when this browser keeps nothing: the next call will see another device. */
  readonly lasting: boolean;
  /** A signature of 64 bytes. */
  sign(message: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
}

/** Where the key pair is between calls. */
export interface KeyShelf {
  load(): Promise<CryptoKeyPair | undefined>;
  /** Keeps this pair unless there is one already; returns the one that counts from now on. */
  keep(pair: CryptoKeyPair): Promise<CryptoKeyPair>;
}

const ALGORITHM = "Ed25519";

export function generatePair(): Promise<CryptoKeyPair> {
  const made = crypto.subtle.generateKey({ name: ALGORITHM }, false, ["sign", "verify"]);
  return made as Promise<CryptoKeyPair>;
}

/** The device that this browser is. Fails only where no key can be made at all. */
export async function loadDevice(shelf: KeyShelf = browserShelf): Promise<Device> {
  let pair: CryptoKeyPair;
  let lasting = true;
  try {
    pair = (await shelf.load()) ?? (await shelf.keep(await generatePair()));
  } catch {
    // A private window, or storage that is switched off or full.
    pair = await generatePair();
    lasting = false;
  }
  const { privateKey, publicKey } = pair;
  return {
    key: new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)),
    lasting,
    async sign(message) {
      return new Uint8Array(await crypto.subtle.sign(ALGORITHM, privateKey, message));
    },
  };
}

/** Under which name the pair lies on its shelf. */
const PLACE = "key";

const browserShelf: KeyShelf = {
  load: () => transact("device", "readonly", find),
  // Of two windows that make a key at once, one transaction comes first and decides.
  keep: (pair) =>
    transact("device", "readwrite", async (store) => {
      const found = await find(store);
      if (found) return found;
      await answer(store.put({ ...pair }, PLACE));
      return pair;
    }),
};

async function find(store: IDBObjectStore): Promise<CryptoKeyPair | undefined> {
  const found: unknown = await answer(store.get(PLACE));
  return isPair(found) ? found : undefined;
}

function isPair(found: unknown): found is CryptoKeyPair {
  if (typeof found !== "object" || found === null) return false;
  const { privateKey, publicKey } = found as Partial<CryptoKeyPair>;
  const isKey = (key: unknown, type: KeyType) =>
    key instanceof CryptoKey && key.type === type && key.algorithm.name === ALGORITHM;
  return isKey(privateKey, "private") && isKey(publicKey, "public");
}
