/** What this browser keeps between calls, in IndexedDB. Page and worker open it alike. */

export type Shelf = "device" | "people" | "transfers" | "sealed";

const NAME = "conclave";
const VERSION = 3;

let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = ({ oldVersion }) => {
      const { result: database } = request;
      if (oldVersion < 1) {
        database.createObjectStore("device" satisfies Shelf);
        database.createObjectStore("people" satisfies Shelf, { keyPath: "device" });
      }
      if (oldVersion < 3) {
        // What was kept before does not say what was sealed already: nothing can go on with it.
        if (oldVersion === 2) database.deleteObjectStore("transfers" satisfies Shelf);
        database.createObjectStore("transfers" satisfies Shelf, { keyPath: "id" });
        database.createObjectStore("sealed" satisfies Shelf, { keyPath: ["file", "chunk"] });
      }
    };
    request.onsuccess = () => {
      const database = request.result;
      // Who clears the site's data, or brings a newer version, need not wait for us.
      database.onversionchange = () => {
        database.close();
        opened = undefined;
      };
      resolve(database);
    };
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another window holds an older version"));
  }).catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

export function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * Does some work in one transaction, and returns when that is committed. The work may await
 * nothing but answers of the shelf.
 */
export function transact<T>(
  shelf: Shelf,
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => Promise<T>,
): Promise<T> {
  return transactOver([shelf], mode, (store) => work(store(shelf)));
}

/** The same over several shelves. "strict": what is committed outlives a loss of power as well. */
export async function transactOver<T>(
  shelves: readonly Shelf[],
  mode: IDBTransactionMode,
  work: (store: (shelf: Shelf) => IDBObjectStore) => Promise<T>,
  durability: IDBTransactionDurability = "default",
): Promise<T> {
  const transaction = (await open()).transaction(shelves, mode, { durability });
  const committed = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("nothing was stored"));
  });
  committed.catch(() => undefined);
  let result: T;
  try {
    result = await work((shelf) => transaction.objectStore(shelf));
  } catch (error) {
    try {
      transaction.abort();
    } catch {
      // It has ended by itself.
    }
    throw error;
  }
  await committed;
  return result;
}
