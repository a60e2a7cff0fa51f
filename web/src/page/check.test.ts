import { expect, it } from "vitest";
import { checkPage, inGroups, type Surroundings } from "./check";
import { canonical, LIST_PATH, readList } from "./list";

async function sha256(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const files = { "index.html": "<!doctype html>", "assets/a.js": "1", "favicon.svg": "<svg/>" };
const hashes = Object.entries(files).map(
  async ([path, text]) => [path, await sha256(text)] as const,
);
const list = canonical(new Map(await Promise.all(hashes)));
const hash = await sha256(list);

/** A server with the files, and with what is said here instead. */
function server(changed: Record<string, string | undefined> = {}, loaded: string[] = []) {
  const { "index.html": page, ...rest } = files;
  const all: Record<string, string | undefined> = { "": page, [LIST_PATH]: list, ...rest };
  const served = new Map(Object.entries({ ...all, ...changed }));
  const around: Surroundings = {
    origin: "https://call.example",
    loaded,
    async get(path) {
      const text = served.get(path.slice(1));
      return text === undefined ? new Response(null, { status: 404 }) : new Response(text);
    },
  };
  return around;
}

it("writes one list, in whatever order the files come", () => {
  const turned = new Map([...(readList(list) ?? [])].reverse());
  expect(canonical(turned)).toBe(list);
  expect(list).toMatch(/^\{"files":\{"assets\/a\.js":"[0-9a-f]{64}","favicon\.svg":/);
  for (const none of ["", "{}", '{"files":{}}', '{"files":{"a":1}}', "<!doctype html>"]) {
    expect(readList(none), none).toBeUndefined();
  }
});

it("knows its hash when all files are as listed", async () => {
  const loaded = ["https://call.example/assets/a.js", "https://call.example/", "blob:x"];
  expect(await checkPage(server({}, loaded))).toEqual({
    kind: "as_listed",
    hash,
    files: 3,
  });
});

it("names the files that differ or are not there", async () => {
  for (const changed of [{ "assets/a.js": "2" }, { "assets/a.js": undefined }]) {
    const check = await checkPage(server(changed));
    expect(check).toMatchObject({ kind: "different", files: ["assets/a.js"] });
    expect(check).toMatchObject({ listed: hash });
  }
  expect(await checkPage(server({ "": "<!doctype html><script>" }))).toMatchObject({
    files: ["index.html"],
  });
});

it("does not take a list that is written in another way", async () => {
  const check = await checkPage(server({ [LIST_PATH]: `${list}\n` }));
  expect(check).toMatchObject({ kind: "different", hash, files: [] });
});

it("names what was loaded and is not listed", async () => {
  const loaded = ["https://call.example/assets/b.js", "https://cdn.example/assets/a.js"];
  expect(await checkPage(server({}, loaded))).toMatchObject({ kind: "different", files: loaded });
});

it("admits that it has nothing to compare with", async () => {
  expect(await checkPage(server({ [LIST_PATH]: undefined }))).toEqual({
    kind: "unknown",
    why: "no_list",
  });
});

it("shows a hash in groups", () => {
  expect(inGroups("0123456789ab")).toBe("0123 4567 89ab");
});
