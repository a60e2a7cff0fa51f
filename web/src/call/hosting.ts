/** What hosts decide in a call, and what this client's person may decide as one. */
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import type { Door } from "../protocol/Door";
import type { HostRequest } from "../protocol/HostRequest";
import type { Member } from "../protocol/Member";
import type { Visitor } from "../protocol/Visitor";

export class Hosting {
  /** Who may come in; not known before we are in the group ourselves. */
  readonly door = signal<Door | undefined>(undefined);
  /** Who waits before the guarded door. Empty for all but hosts. */
  readonly waiting = signal<readonly Visitor[]>([]);
  /** Whether this client's person is a host. */
  readonly mine: ReadonlySignal<boolean>;
  /** Whether nobody could decide anything any more once we are gone. */
  readonly onlyHost: ReadonlySignal<boolean>;

  readonly #ask: (request: HostRequest) => void;

  constructor(roster: ReadonlySignal<readonly Member[]>, ask: (request: HostRequest) => void) {
    this.#ask = ask;
    this.mine = computed(() => roster.value.some(({ is_self, is_host }) => is_self && is_host));
    this.onlyHost = computed(
      () =>
        this.mine.value &&
        roster.value.length > 1 &&
        roster.value.every(({ is_self, is_host }) => is_self || !is_host),
    );
  }

  setDoor(door: Door): void {
    this.#ask({ type: "set_door", door });
  }

  admit({ participant, knock }: Visitor): void {
    this.#ask({ type: "admit", participant, knock });
  }

  turnAway({ participant, knock }: Visitor): void {
    this.#ask({ type: "turn_away", participant, knock });
  }

  mute({ participant }: Member): void {
    this.#ask({ type: "mute", participant });
  }

  muteOthers(): void {
    this.#ask({ type: "mute", participant: null });
  }

  appoint({ participant }: Member): void {
    this.#ask({ type: "appoint", participant });
  }

  dismiss({ participant }: Member): void {
    this.#ask({ type: "dismiss", participant });
  }

  remove({ participant }: Member, changeLink: boolean): void {
    this.#ask({ type: "remove", participant, change_link: changeLink });
  }

  changeLink(): void {
    this.#ask({ type: "change_link" });
  }

  /** Nothing of the last membership is true any more. */
  forget(): void {
    this.door.value = undefined;
    this.waiting.value = [];
  }
}
