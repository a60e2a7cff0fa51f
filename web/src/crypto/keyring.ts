/** What a worker opens frames with: the keys, whose leaves are whose, and what was opened before. */
import type { Codec } from "./codec";
import { type Attributed, FrameError, type Opener } from "./frames";
import { type Holder, isSamePlace, type Tenure } from "./holders";
import { Ledger } from "./ledger";
import type { OpeningKeyMessage } from "./messages";

/** Opens frames under all keys that it has, whoever holds the leaves. */
export interface KeyedOpener extends Opener {
  install(epoch: number, key: Uint8Array): void;
  forget(epoch: number): void;
  free(): void;
}

export class Keyring {
  /** By leaf, the epoch whose key last opened a frame of its holder. */
  readonly lastEpochs = new Map<number, number>();
  readonly #fresh: () => KeyedOpener;
  readonly #ledgers = new Map<number, Ledger>();
  #holders = new Map<number, Holder>();
  #inner: KeyedOpener | undefined;
  #newest: number | undefined;

  /** @param worker which of the opening workers this is */
  constructor(
    readonly worker: number,
    fresh: () => KeyedOpener,
  ) {
    this.#fresh = fresh;
  }

  /** The newest epoch whose key we have. */
  get newest(): number | undefined {
    return this.#newest;
  }

  take(message: OpeningKeyMessage): void {
    switch (message.type) {
      case "reset":
        this.#inner?.free();
        this.#inner = undefined;
        this.#ledgers.clear();
        this.#holders.clear();
        this.#newest = undefined;
        this.lastEpochs.clear();
        break;
      case "install":
        this.#inner ??= this.#fresh();
        this.#inner.install(message.epoch, message.key);
        message.key.fill(0);
        this.#ledgers.set(message.epoch, new Ledger(message.ledger, this.worker));
        this.#hand(message);
        break;
      case "back":
        for (const epoch of [...this.#ledgers.keys()]) {
          if (epoch > message.epoch) this.#forget(epoch);
        }
        this.#hand(message);
        break;
      case "forget":
        this.#forget(message.epoch);
        break;
    }
  }

  /** Opens what nobody has opened before, of those who hold their leaf since it was sealed. */
  open(codec: Codec, frame: Uint8Array): Attributed {
    if (!this.#inner) throw new FrameError("unknown_epoch");
    const opened = this.#inner.open(codec, frame);
    const { epoch, context, leaf, counter } = opened;
    const holder = this.#holders.get(leaf);
    if (!holder || epoch < holder.since) throw new FrameError("former_holder");
    if (!this.#ledgers.get(epoch)?.enter(context, leaf, counter)) throw new FrameError("elsewhere");
    this.lastEpochs.set(leaf, epoch);
    return { ...opened, holder };
  }

  /** Whether somebody still holds the leaf that they held. */
  holds(former: Holder): boolean {
    const holder = this.#holders.get(former.leaf);
    return holder !== undefined && isSamePlace(holder, former);
  }

  #hand({ epoch: newest, holders }: Tenure): void {
    this.#newest = newest;
    this.#holders = new Map(holders.map((holder) => [holder.leaf, holder]));
    for (const [leaf, epoch] of [...this.lastEpochs]) {
      const since = this.#holders.get(leaf)?.since;
      if (since === undefined || epoch < since || epoch > newest) this.lastEpochs.delete(leaf);
    }
  }

  #forget(epoch: number): void {
    this.#inner?.forget(epoch);
    this.#ledgers.delete(epoch);
  }
}
