/**
 * Brings the keys of a membership to the workers that seal and open frames. Whoever opens learns
 * with each key who holds the leaves of its epoch: in one message, so that no frame comes between.
 */
import { Succession } from "./holders";
import { blankLedger } from "./ledger";
import type { KeyMessage, OpeningKeyMessage, SealingKeyMessage } from "./messages";
import type { Member, MembershipOutput } from "./wasm";

/** The session worker's end of a channel. */
type Port<Message> = {
  postMessage(message: Message, transfer: Transferable[]): void;
};

/** The key of an epoch whose roster is still to come. */
interface Arrived {
  readonly epoch: number;
  readonly leaf: number;
  readonly key: Uint8Array;
}

export class Courier {
  readonly #sealing: Port<SealingKeyMessage> | undefined;
  readonly #opening: readonly Port<OpeningKeyMessage>[];
  readonly #sharesMemory: boolean;
  readonly #succession = new Succession();
  #arrived: Arrived | undefined;

  constructor(
    sealing: Port<SealingKeyMessage> | undefined,
    opening: readonly Port<OpeningKeyMessage>[],
    sharesMemory: boolean,
  ) {
    this.#sealing = sealing;
    this.#opening = opening;
    this.#sharesMemory = sharesMemory;
  }

  /** @param baseKey fetches the key of an epoch */
  put(output: MembershipOutput, baseKey: (epoch: number) => Uint8Array): void {
    switch (output.type) {
      case "keys_ready": {
        const { epoch, own_leaf: leaf } = output;
        this.#arrived?.key.fill(0);
        this.#arrived = { epoch, leaf, key: baseKey(epoch) };
        break;
      }
      case "roster":
        this.#install(output.members);
        break;
      case "seal_with":
        this.#sealing?.postMessage({ type: "seal_with", epoch: output.epoch }, []);
        break;
      case "forget":
        this.#forget(output.epoch);
        break;
      default:
    }
  }

  /** Nothing of this membership may be used again. */
  end(): void {
    this.#arrived?.key.fill(0);
    this.#arrived = undefined;
    this.#giveAll({ type: "reset" });
  }

  /** Gives each worker a copy of the key, which it wipes, and wipes ours. */
  #install(roster: readonly Member[]): void {
    if (!this.#arrived) return;
    const { epoch, leaf, key } = this.#arrived;
    this.#arrived = undefined;
    const toSeal = key.slice();
    this.#sealing?.postMessage({ type: "install", epoch, leaf, key: toSeal }, [toSeal.buffer]);
    const { holders } = this.#succession.enter(epoch, roster);
    const ledger = blankLedger(this.#sharesMemory);
    for (const port of this.#opening) {
      const toOpen = key.slice();
      port.postMessage({ type: "install", epoch, key: toOpen, ledger, holders }, [toOpen.buffer]);
    }
    key.fill(0);
  }

  #forget(epoch: number): void {
    const tenure = this.#succession.forget(epoch);
    if (tenure) for (const port of this.#opening) port.postMessage({ type: "back", ...tenure }, []);
    this.#giveAll({ type: "forget", epoch });
  }

  #giveAll(message: KeyMessage): void {
    for (const port of [this.#sealing, ...this.#opening]) port?.postMessage(message, []);
  }
}
