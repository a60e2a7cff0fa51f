/** Plays the encryption module in tests: its "frames" are an epoch, its key, a leaf and a counter. */
import { FrameError, type Opened } from "./frames";
import type { KeyedOpener } from "./keyring";

export class FakeModule implements KeyedOpener {
  readonly #keys = new Map<number, number>();

  install(epoch: number, key: Uint8Array): void {
    this.#keys.set(epoch, key[0] ?? 0);
  }

  forget(epoch: number): void {
    this.#keys.delete(epoch);
  }

  open(_codec: string, sealed: Uint8Array): Opened {
    const [epoch = 0, key, leaf = 0, counter = 0] = sealed;
    if (!this.#keys.has(epoch)) throw new FrameError("unknown_epoch");
    if (this.#keys.get(epoch) !== key) throw new FrameError("forged");
    return { leaf, epoch, context: 1, counter: BigInt(counter), frame: sealed.slice() };
  }

  free(): void {
    this.#keys.clear();
  }
}
