/**
 * What a page can find out about itself: whether the files that this browser was given are those
 * that the server lists, and the hash of that list. It finds accidents, caches and proxies that
 * change things. It cannot find a server that lies, since such a server sends another page, which
 * says what it likes; for that there is `conclave verify-client`, which asks from outside.
 */
import { canonical, type FileHashes, LIST_PATH, readList } from "./list";

export type Check =
  /** Every file is as listed. */
  | { readonly kind: "as_listed"; readonly hash: string; readonly files: number }
  /** Some are not: the hash of the server's list, and of what came instead. */
  | {
      readonly kind: "different";
      readonly listed: string;
      readonly hash: string;
      readonly files: readonly string[];
    }
  /** There was nothing to compare. */
  | { readonly kind: "unknown"; readonly why: "insecure" | "no_list" };

/** How to ask for a file, and the addresses of everything that this page has loaded. */
export interface Surroundings {
  readonly origin: string;
  readonly loaded: readonly string[];
  get(path: string): Promise<Response>;
}

export const here = (): Surroundings => ({
  origin: location.origin,
  loaded: performance.getEntriesByType("resource").map(({ name }) => name),
  // The page itself and the list are asked for anew; the rest is what the browser already has.
  get: (path) => fetch(path, { cache: path.startsWith("/assets/") ? "force-cache" : "no-cache" }),
});

export async function checkPage(around: Surroundings): Promise<Check> {
  // Browsers hash for pages on https and localhost only.
  if (!globalThis.crypto?.subtle) return { kind: "unknown", why: "insecure" };
  const text = await around
    .get(`/${LIST_PATH}`)
    .then((response) => (response.ok ? response.text() : ""))
    .catch(() => "");
  const list = readList(text);
  if (!list) return { kind: "unknown", why: "no_list" };

  const listed = await sha256(new TextEncoder().encode(text));
  const got = await hashesOf(list, around);
  const hash = await sha256(new TextEncoder().encode(canonical(got)));
  const files = [...list.keys()].filter((path) => got.get(path) !== list.get(path));
  files.push(...strangers(list, around));
  if (files.length > 0 || hash !== listed) return { kind: "different", listed, hash, files };
  return { kind: "as_listed", hash, files: list.size };
}

/** The hash of each listed file, as this browser gets it; empty for those that it does not get. */
async function hashesOf(list: FileHashes, around: Surroundings): Promise<FileHashes> {
  const hashes = [...list.keys()].map(async (path) => {
    const response = await around
      .get(path === "index.html" ? "/" : `/${path}`)
      .catch(() => undefined);
    const hash = response?.ok ? await sha256(await response.arrayBuffer()) : "";
    return [path, hash] as const;
  });
  return new Map(await Promise.all(hashes));
}

/** What the page has loaded and the list does not name. */
function strangers(list: FileHashes, { origin, loaded }: Surroundings): string[] {
  const strange = loaded.filter((address) => {
    const url = new URL(address);
    if (!url.protocol.startsWith("http")) return false;
    const path = url.pathname.slice(1);
    const known = path === "" || path === LIST_PATH || list.has(path);
    return url.origin !== origin || !known;
  });
  return [...new Set(strange)];
}

/** A hash in groups of four, for people who compare. */
export function inGroups(hash: string): string {
  return hash.replace(/(.{4})(?=.)/g, "$1 ");
}

async function sha256(bytes: BufferSource): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
