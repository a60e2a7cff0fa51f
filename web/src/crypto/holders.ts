/**
 * Who holds which leaf of the group, and since which epoch. A frame's key id names a leaf and an
 * epoch, and keys outlive their epoch by some seconds: a leaf that has changed hands meanwhile must
 * not lend its next holder's name to what the one before has sealed.
 */
import type { Member } from "../protocol/Member";

/** A member at their leaf. A stay's number alone is the server's word: the device is not. */
export type Place = Pick<Member, "leaf" | "participant" | "device">;

export interface Holder extends Place {
  /** The first of the epochs whose keys we had in which the leaf was theirs. */
  readonly since: number;
}

/** Everyone who holds a leaf in an epoch. */
export interface Tenure {
  readonly epoch: number;
  readonly holders: readonly Holder[];
}

/** Whether it is the same member at the same leaf. */
export function isSamePlace(one: Place, other: Place): boolean {
  return (
    one.leaf === other.leaf && one.participant === other.participant && one.device === other.device
  );
}

/** The leaves of those who are not there any more, or not at the same leaf. */
export function vacated(before: readonly Place[], after: readonly Place[]): number[] {
  const now = new Map(after.map((place) => [place.leaf, place]));
  return before
    .filter((place) => {
      const next = now.get(place.leaf);
      return !next || !isSamePlace(place, next);
    })
    .map(({ leaf }) => leaf);
}

/** Tells from one roster after the other since when leaves have had their holders. */
export class Succession {
  /** Of the epochs whose keys are not wiped yet, the newest last. */
  #tenures: Tenure[] = [];

  /** The group is in an epoch with this roster. */
  enter(epoch: number, roster: readonly Place[]): Tenure {
    // A group that is founded anew begins to count anew.
    this.#tenures = this.#tenures.filter((earlier) => earlier.epoch < epoch);
    const before = new Map(this.#tenures.at(-1)?.holders.map((holder) => [holder.leaf, holder]));
    const holders = roster.map(({ leaf, participant, device }): Holder => {
      const place = { leaf, participant, device };
      const held = before.get(leaf);
      return held && isSamePlace(held, place) ? held : { ...place, since: epoch };
    });
    const tenure = { epoch, holders };
    this.#tenures.push(tenure);
    return tenure;
  }

  /**
   * The key of an epoch is wiped. If that was the newest epoch, it was annulled: gives what counts
   * again, of the epoch before.
   */
  forget(epoch: number): Tenure | undefined {
    const wasNewest = this.#tenures.at(-1)?.epoch === epoch;
    this.#tenures = this.#tenures.filter((tenure) => tenure.epoch !== epoch);
    return wasNewest ? this.#tenures.at(-1) : undefined;
  }
}
