/** What the windows of one browser share, in memory: its file system and its locks. For tests. */

interface Entry {
  bytes: Uint8Array;
  isOpen: boolean;
  /** So often it was changed. */
  changes: number;
}

interface Request {
  readonly isShared: boolean;
  readonly grant: () => void;
}

const error = (name: string) => new DOMException("", name);

/** Web Locks, as far as they are used. */
class Locks {
  readonly #held = new Map<string, Request[]>();
  readonly #waiting = new Map<string, Request[]>();

  async request(
    name: string,
    options: { mode?: "shared"; ifAvailable?: boolean },
    work: (lock: object | null) => Promise<unknown>,
  ): Promise<unknown> {
    const isShared = options.mode === "shared";
    if (options.ifAvailable && !this.#isFree(name, isShared)) return work(null);
    let request: Request | undefined;
    await new Promise<void>((grant) => {
      request = { isShared, grant };
      this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), request]);
      this.#serve(name);
    });
    try {
      return await work({});
    } finally {
      this.#held.set(
        name,
        (this.#held.get(name) ?? []).filter((one) => one !== request),
      );
      this.#serve(name);
    }
  }

  forgetAll(): void {
    this.#held.clear();
  }

  #isFree(name: string, isShared: boolean): boolean {
    return (this.#held.get(name) ?? []).every((one) => isShared && one.isShared);
  }

  #serve(name: string): void {
    const [first, ...rest] = this.#waiting.get(name) ?? [];
    if (!first || !this.#isFree(name, first.isShared)) return;
    this.#waiting.set(name, rest);
    this.#held.set(name, [...(this.#held.get(name) ?? []), first]);
    first.grant();
    this.#serve(name);
  }
}

export class Origin {
  readonly entries = new Map<string, Entry>();
  readonly locks = new Locks();
  /** As in private windows of some browsers. */
  hasFileSystem = true;
  /** Writing fails with this. */
  fault: Error | undefined;

  /** To be the `navigator` of all windows. */
  get navigator(): object {
    return { locks: this.locks, storage: { getDirectory: () => this.#root() } };
  }

  /** All windows are closed. */
  closeWindows(): void {
    this.locks.forgetAll();
    for (const entry of this.entries.values()) entry.isOpen = false;
  }

  async #root(): Promise<object> {
    if (!this.hasFileSystem) throw error("SecurityError");
    return { getDirectoryHandle: async () => this.#folder() };
  }

  #folder(): object {
    const { entries } = this;
    return {
      getFileHandle: async (name: string) => {
        if (!entries.has(name))
          entries.set(name, { bytes: new Uint8Array(), isOpen: false, changes: 0 });
        const entry = entries.get(name) as Entry;
        return {
          createSyncAccessHandle: async () => this.#access(entry),
          getFile: async () => new File([entry.bytes.slice()], name),
        };
      },
      removeEntry: async (name: string) => {
        if (entries.get(name)?.isOpen) throw error("NoModificationAllowedError");
        if (!entries.delete(name)) throw error("NotFoundError");
      },
      async *[Symbol.asyncIterator]() {
        for (const name of [...entries.keys()]) yield [name, {}];
      },
    };
  }

  #access(entry: Entry): object {
    if (entry.isOpen) throw error("NoModificationAllowedError");
    entry.isOpen = true;
    const change = (length: number) => {
      if (this.fault) throw this.fault;
      entry.changes += 1;
      const longer = new Uint8Array(length);
      longer.set(entry.bytes.subarray(0, length));
      entry.bytes = longer;
    };
    return {
      getSize: () => entry.bytes.length,
      truncate: change,
      read(into: Uint8Array, { at }: { at: number }) {
        into.set(entry.bytes.subarray(at, at + into.length));
        return into.length;
      },
      write(bytes: ArrayBuffer | Uint8Array, { at }: { at: number }) {
        const data = new Uint8Array(bytes);
        change(Math.max(entry.bytes.length, at + data.length));
        entry.bytes.set(data, at);
        return data.length;
      },
      flush() {},
      close() {
        entry.isOpen = false;
      },
    };
  }
}

/** A file that the person has picked outside of the browser. */
export class Place {
  content: Uint8Array | undefined;
  opened = 0;

  get handle(): FileSystemFileHandle {
    const createWritable = async () => {
      this.opened += 1;
      let bytes = new Uint8Array();
      return {
        write: async ({ position, data }: { position: number; data: ArrayBuffer }) => {
          const longer = new Uint8Array(Math.max(bytes.length, position + data.byteLength));
          longer.set(bytes);
          longer.set(new Uint8Array(data), position);
          bytes = longer;
        },
        close: async () => {
          this.content = bytes;
        },
        abort: async () => {
          bytes = new Uint8Array();
        },
      };
    };
    return { createWritable } as unknown as FileSystemFileHandle;
  }
}
