/**
 * The list of the client's files. It is made when the client is built; its SHA-256 is the
 * *client hash*, one number that stands for every file.
 */

/** Where the list is, in the built client and on the server (RFC 8615). */
export const LIST_PATH = ".well-known/conclave/client.json";

/** The SHA-256 of each file, in hexadecimal, by its path. */
export type FileHashes = ReadonlyMap<string, string>;

/** The one way to write a list, so that equal files make equal hashes (RFC 8785, for paths in
 * ASCII). */
export function canonical(files: FileHashes): string {
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify({ files: Object.fromEntries(sorted) });
}

/** Reads what a server says is the list; nothing when it is none. */
export function readList(text: string): FileHashes | undefined {
  try {
    const { files } = JSON.parse(text) as { files: Record<string, unknown> };
    const hashes = new Map<string, string>();
    for (const [path, hash] of Object.entries(files)) {
      if (typeof hash !== "string") return undefined;
      hashes.set(path, hash);
    }
    return hashes.size > 0 ? hashes : undefined;
  } catch {
    return undefined;
  }
}
