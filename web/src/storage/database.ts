/** What this browser keeps between calls, in IndexedDB. Page and worker open it alike. */

export type Shelf = "device" | "people" | "transfers";

const NAME = "conclave";
const VERSION = 2;

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
      if (oldVersion < 2)
        database.createObjectStore("transfers" satisfies Shelf, { keyPath: "id" });
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
export async function transact<T>(
  shelf: Shelf,
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => Promise<T>,
): Promise<T> {
  const transaction = (await open()).transaction(shelf, mode);
  const committed = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("nothing was stored"));
  });
  committed.catch(() => undefined);
  let result: T;
  try {
    result = await work(transaction.objectStore(shelf));
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
