/**
 * A call's link: `/r/{room}#{secret}`. The room is public; the secret stands in the fragment,
 * which browsers never send to a server. So does an invite, where the server wants one: behind the
 * secret and a dot.
 */

/** How many random bytes the secret has. */
const SECRET_BYTES = 32;
const ROOM = /^[A-Za-z0-9_-]{1,64}$/;
const SECRET = /^[A-Za-z0-9_-]{43}$/;
/** 32 letters and digits that are hard to mistake for each other when read aloud. */
const ROOM_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

export interface Link {
  readonly room: string;
  readonly secret: string;
  /** For the server's door; it opens nothing of what is behind. */
  readonly invite?: string;
}

/** Why an address is no link to a call. */
export type LinkProblem = "no_room" | "no_secret" | "bad_secret";

export type LinkResult = { ok: true; link: Link } | { ok: false; problem: LinkProblem };

/** Reads the room and the secret out of a path and a fragment. */
export function readLink(path: string, fragment: string): LinkResult {
  const room = /^\/r\/([^/]+)\/?$/.exec(path)?.[1];
  if (room === undefined || !ROOM.test(room)) return { ok: false, problem: "no_room" };
  const [secret = "", invite, ...more] = fragment.replace(/^#/, "").split(".");
  if (secret === "") return { ok: false, problem: "no_secret" };
  if (![secret, ...(invite === undefined ? [] : [invite])].every(is32Bytes) || more.length > 0) {
    return { ok: false, problem: "bad_secret" };
  }
  return { ok: true, link: invite === undefined ? { room, secret } : { room, secret, invite } };
}

/** Reads a link that somebody pasted: a whole address, or its part after the server's name. */
export function readPastedLink(text: string): LinkResult {
  const trimmed = text.trim().replace(/^<|>$/g, "");
  try {
    const url = new URL(trimmed, "https://any.invalid");
    return readLink(url.pathname, url.hash);
  } catch {
    return { ok: false, problem: "no_room" };
  }
}

/** Where a link leads on this server. */
export function pathOf({ room, secret, invite }: Link): string {
  return `/r/${room}#${secret}${invite === undefined ? "" : `.${invite}`}`;
}

/** The link to give to others: an invite is for one person, and may be used up. */
export function toShare({ room, secret }: Link): Link {
  return { room, secret };
}

/** A fresh room with a fresh secret. */
export function newLink(): Link {
  return { room: newRoom(), secret: encodeBase64Url(randomBytes(SECRET_BYTES)) };
}

function newRoom(): string {
  const letters = Array.from(randomBytes(12), (byte) => ROOM_ALPHABET[byte % 32]).join("");
  return `${letters.slice(0, 4)}-${letters.slice(4, 8)}-${letters.slice(8)}`;
}

function is32Bytes(text: string): boolean {
  // 43 characters hold 258 bits: the last one must not carry any of the 2 that are left over.
  return SECRET.test(text) && "AEIMQUYcgkosw048".includes(text.charAt(42));
}

function randomBytes(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}

function encodeBase64Url(bytes: Uint8Array): string {
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
