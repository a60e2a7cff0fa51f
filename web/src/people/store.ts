/** Where people are remembered between calls: in this browser only. */
import { answer, transact } from "../storage/database";
import { type Acquaintance, readAcquaintance } from "./known";

export type Change = (before: Acquaintance | undefined, device: string) => Acquaintance;

export interface PeopleStore {
  all(): Promise<readonly Acquaintance[]>;
  /** Changes what stands there now, which another window may have written. */
  change(devices: readonly string[], change: Change): Promise<readonly Acquaintance[]>;
  forget(devices: readonly string[]): Promise<void>;
  /** Calls back when another window has changed something, until told to stop. */
  watch(changed: () => void): () => void;
}

const CHANNEL = "conclave.people";

export function browserStore(): PeopleStore {
  const channel = new BroadcastChannel(CHANNEL);
  return {
    async all() {
      const stored = await transact("people", "readonly", (store) =>
        answer<unknown[]>(store.getAll()),
      );
      return stored.map(readAcquaintance).filter((found) => found !== undefined);
    },

    async change(devices, change) {
      const changed = await transact("people", "readwrite", async (store) => {
        const after: Acquaintance[] = [];
        for (const device of devices) {
          const before = readAcquaintance(await answer<unknown>(store.get(device)));
          const acquaintance = change(before, device);
          await answer(store.put(acquaintance));
          after.push(acquaintance);
        }
        return after;
      });
      channel.postMessage("changed");
      return changed;
    },

    async forget(devices) {
      await transact("people", "readwrite", async (store) => {
        for (const device of devices) await answer(store.delete(device));
      });
    },

    watch(changed) {
      channel.onmessage = changed;
      return () => channel.close();
    },
  };
}
