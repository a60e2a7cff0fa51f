/**
 * Which files are shown in the chat: pictures of kinds that hold pixels and nothing else, told by
 * how they begin and not by what their sender says. Never SVG, which is a document.
 */

/** Larger ones are downloaded and opened elsewhere. */
export const LARGEST_SHOWN = 20 << 20;
/** Pictures up to this size are fetched as soon as they are announced. */
export const FETCHED_UNASKED = 2 << 20;

/** How they begin, in Latin-1; a dot is any byte. */
const STARTS: readonly (readonly [string, string])[] = [
  ["image/png", "\x89PNG\r\n\x1a\n"],
  ["image/jpeg", "\xff\xd8\xff"],
  ["image/gif", "GIF8.a"],
  ["image/webp", "RIFF....WEBP"],
];

/** Worth fetching unasked, by its sender's word. */
export function looksLikePicture(kind: string, size: number): boolean {
  return size <= FETCHED_UNASKED && STARTS.some(([known]) => known === kind);
}

/** The picture with its true type, if it is one. */
export async function asPicture(content: Blob): Promise<Blob | undefined> {
  if (content.size > LARGEST_SHOWN) return undefined;
  const head = new Uint8Array(await content.slice(0, 16).arrayBuffer());
  const [type] = STARTS.find(([, start]) => begins(head, start)) ?? [];
  return type === undefined ? undefined : content.slice(0, content.size, type);
}

function begins(head: Uint8Array, start: string): boolean {
  return [...start].every((letter, at) => letter === "." || head[at] === letter.charCodeAt(0));
}
