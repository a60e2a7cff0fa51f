/** How a call can end, and what an error from the server means for it. */
import type { ErrorCode } from "../protocol/ErrorCode";

/** Trouble that did not come from the server. */
export type OwnTrouble =
  | "unreachable"
  | "broken"
  | "module"
  /** The server shows another call under the same link than the one that we were in. */
  | "another_call";

export type Ending =
  | { readonly kind: "left" }
  /** A host decided so, as this client has checked: the server cannot pretend it. */
  | { readonly kind: "decided"; readonly reason: string }
  | { readonly kind: "trouble"; readonly code: ErrorCode | OwnTrouble; readonly detail: string };

/** What to do when the server refuses something. */
export type Reaction =
  /** The call is over; the person has to do something about it. */
  | "end"
  /** The line will close, or is no good: come back by itself. */
  | "rejoin"
  /** Only the media has to be set up again. */
  | "renew_media"
  /** Tell the person, go on. */
  | "tell"
  /** Nothing that a person could do anything about. */
  | "ignore";

export function reactionTo(code: ErrorCode): Reaction {
  switch (code) {
    case "unsupported_version":
    case "wrong_secret":
    case "room_full":
    case "server_full":
    case "unacceptable_offer":
    case "draining":
    case "no_such_room":
    case "not_invited":
    case "room_closed":
    case "removed":
    case "commit_refused":
    case "link_changed":
      return "end";
    case "too_large":
    case "too_slow":
    case "out_of_order":
    // If a host did so, the group has said it before, and the call is over already.
    case "shown_out":
    case "shutting_down":
    case "room_busy":
    case "session_lost":
    case "replaced":
      return "rejoin";
    case "media_lost":
      return "renew_media";
    case "too_fast":
      return "tell";
    case "malformed":
      return "ignore";
  }
}
