/** What can keep a file from being sent or had. What to say of each is in `app/words.ts`. */

/** From the server: how its problems are called (signalling/src/files/refusal.rs). */
const FROM_SERVER = [
  "switched-off",
  "file-too-large",
  "participant-quota",
  "room-quota",
  "server-quota",
  "disk-full",
  "no-such-file",
] as const;

export type Trouble =
  | (typeof FROM_SERVER)[number]
  /** A chunk is not what its sender sealed. */
  | "tampered"
  /** The file on this device changed, or is gone. */
  | "unreadable"
  /** The file on this device is not the one of which a part was sealed already. */
  | "changed"
  /** This device has no room for it. */
  | "no-space"
  /** This browser can only keep it in memory, and it is too large for that. */
  | "too-large-here"
  | "broken";

/** After these there is nothing to go on with: it begins anew, if at all. */
export function isFinal(trouble: Trouble): boolean {
  return trouble === "no-such-file" || trouble === "tampered" || trouble === "changed";
}

/** Something that goes no further. */
export class Stuck extends Error {
  override readonly name = "Stuck";

  constructor(readonly trouble: Trouble) {
    super(trouble);
  }
}

/** What comes of an error of the file system: it may only be full. */
export function noSpace(error: unknown): unknown {
  const isFull = error instanceof DOMException && error.name === "QuotaExceededError";
  return isFull ? new Stuck("no-space") : error;
}

/** What is gone for now, and waited for: the server, or where the server keeps files. */
export type Awaited = "server" | "storage";

/** Something that may go well the next time. */
export class Passing extends Error {
  override readonly name = "Passing";

  constructor(
    /**
     * The server cannot be reached, knows us no more, has enough for now, cannot reach what it
     * stores files in, or fails at it.
     */
    readonly why: "unreachable" | "stranger" | "busy" | "store-away" | "failing",
    options?: ErrorOptions,
  ) {
    super(why, options);
  }

  /** Nothing, when the server only has enough for the moment. */
  get awaited(): Awaited | undefined {
    if (this.why === "busy") return undefined;
    return this.why === "store-away" ? "storage" : "server";
  }
}

/** What comes of an answer that is no success. */
export async function reasonOf(response: Response): Promise<Stuck | Passing> {
  const problem: unknown = await response.json().catch(() => undefined);
  const type =
    typeof problem === "object" && problem !== null && "type" in problem ? problem.type : "";
  const kind = String(type).replace("urn:conclave:problem:", "");
  const known = FROM_SERVER.find((name) => name === kind);
  if (known) return new Stuck(known);
  // Whoever announced it never finished it.
  if (kind === "incomplete") return new Stuck("no-such-file");
  if (response.status === 401) return new Passing("stranger");
  // Too much at once, too slow, or the same chunk on its way; or a server that stops.
  if ([408, 409, 429].includes(response.status) && kind !== "other-bytes")
    return new Passing("busy");
  // A host may let us in, and may have to do so once more after we were away.
  if (kind === "not-let-in") return new Passing("busy");
  if (kind === "broken") return new Passing("failing");
  if (kind === "store-away") return new Passing("store-away");
  if (response.status >= 500) return new Passing("unreachable");
  return new Stuck("broken");
}
