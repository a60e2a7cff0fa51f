/**
 * Applies values that take time to apply, one after another for each key: what was set last
 * is what stands in the end, however quickly it followed on what was set before.
 */
export class Turns<Key, Value> {
  readonly #wanted = new Map<Key, Value>();
  readonly #turns = new Map<Key, Promise<void>>();
  readonly #apply: (key: Key, value: Value) => Promise<void>;

  constructor(apply: (key: Key, value: Value) => Promise<void>) {
    this.#apply = apply;
  }

  /** Settles when a value at least as new as this one has been applied. */
  set(key: Key, value: Value): Promise<void> {
    this.#wanted.set(key, value);
    const before = this.#turns.get(key) ?? Promise.resolve();
    const turn = before
      .catch(() => undefined)
      .then(() => this.#apply(key, this.#wanted.get(key) as Value));
    this.#turns.set(key, turn);
    return turn;
  }

  /** Applies once more what was set last: something else that it depends on has changed. */
  async again(key: Key): Promise<void> {
    if (this.#wanted.has(key)) await this.set(key, this.#wanted.get(key) as Value);
  }
}
