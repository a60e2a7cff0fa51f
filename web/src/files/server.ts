/** What is said to the server about files (docs/protocol.md, "Files"). */
import type { DeclaredFile } from "../protocol/DeclaredFile";
import type { FileProgress } from "../protocol/FileProgress";
import type { Part } from "./layout";
import { Passing, reasonOf, Stuck } from "./trouble";

const FILES = "/api/v1/files";

/** Gives the token of our session, as it is now. */
export type Token = () => string | undefined;

async function ask(
  token: Token,
  path: string,
  signal: AbortSignal,
  init: RequestInit = {},
): Promise<Response> {
  const known = token();
  if (known === undefined) throw new Passing("stranger");
  let response: Response;
  try {
    response = await fetch(FILES + path, {
      ...init,
      signal,
      cache: "no-store",
      headers: { ...init.headers, authorization: `Bearer ${known}` },
    });
  } catch (cause) {
    signal.throwIfAborted();
    throw new Passing("unreachable", { cause });
  }
  if (!response.ok) throw await reasonOf(response);
  return response;
}

/** The whole of an answer, which may break off. */
async function bytesOf(response: Response, signal: AbortSignal): Promise<ArrayBuffer> {
  try {
    return await response.arrayBuffer();
  } catch (cause) {
    signal.throwIfAborted();
    throw new Passing("unreachable", { cause });
  }
}

export async function declare(
  token: Token,
  bytes: number,
  signal: AbortSignal,
): Promise<DeclaredFile> {
  const body = JSON.stringify({ bytes });
  const response = await ask(token, "", signal, { method: "POST", body });
  return (await response.json()) as DeclaredFile;
}

export async function progressOf(
  token: Token,
  id: string,
  signal: AbortSignal,
): Promise<FileProgress> {
  return (await (await ask(token, `/${id}/chunks`, signal)).json()) as FileProgress;
}

export async function putChunk(
  token: Token,
  id: string,
  chunk: number,
  sealed: ArrayBuffer,
  signal: AbortSignal,
): Promise<void> {
  await ask(token, `/${id}/${chunk}`, signal, { method: "PUT", body: sealed });
}

export async function getPart(
  token: Token,
  id: string,
  { start, end }: Part,
  signal: AbortSignal,
): Promise<ArrayBuffer> {
  const headers = { range: `bytes=${start}-${end - 1}` };
  const response = await ask(token, `/${id}`, signal, { headers });
  // Anything else would be the whole file, however large.
  if (response.status !== 206) {
    await response.body?.cancel();
    throw new Stuck("broken");
  }
  return bytesOf(response, signal);
}

/** Nobody waits for it: what is not deleted expires. */
export function forget(token: Token, id: string): void {
  const { signal } = new AbortController();
  ask(token, `/${id}`, signal, { method: "DELETE" }).catch(() => undefined);
}
