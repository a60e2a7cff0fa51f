import { beforeEach, expect, test, vi } from "vitest";
import type { FilesCommand, FilesEvent } from "./messages";
import { Origin } from "./origin.fake";
import { contentFor, FileServer, isSame, letAllThrough, letThrough, patience } from "./server.fake";

const { forgotten } = vi.hoisted(() => ({ forgotten: [] as string[] }));

vi.mock("./unfinished", () => ({
  keep: async () => false,
  forgetUnfinished: async (id: string) => forgotten.push(id),
}));

const content = contentFor((9 << 20) + 77);

let server: FileServer;
let origin: Origin;
let heard: FilesEvent[];
let tell: (command: FilesCommand) => void;

/** The worker itself, as a page has it. */
beforeEach(async () => {
  forgotten.length = 0;
  server = new FileServer();
  origin = new Origin();
  heard = [];
  const self = {
    postMessage: (event: FilesEvent) => heard.push(event),
    onmessage: (_: { data: FilesCommand }) => {},
  };
  vi.stubGlobal("self", self);
  vi.stubGlobal("navigator", origin.navigator);
  vi.stubGlobal("fetch", server.fetch);
  vi.resetModules();
  await import("./files.worker");
  tell = (data) => self.onmessage({ data });
  tell({ type: "token", token: "token" });
});

const hears = <T extends FilesEvent["type"]>(type: T) =>
  vi.waitFor(() => {
    const event = heard.find((one): one is Extract<FilesEvent, { type: T }> => one.type === type);
    expect(event).toBeDefined();
    return event as Extract<FilesEvent, { type: T }>;
  }, patience);

test("what is in memory is still there after a pause", async () => {
  origin.hasFileSystem = false;
  const file = await server.store(content);
  const download = { type: "download", transfer: 1, file, place: undefined } as const;
  const reached = letThrough(server, 4);
  tell(download);
  await reached;
  tell({ type: "pause", transfer: 1 });
  letAllThrough(server);
  tell(download);
  const { content: received } = await hears("done");
  expect(isSame(new Uint8Array(await (received as Blob).arrayBuffer()), content)).toBe(true);
  // Four were through, and no more than four on their way.
  expect(server.gets.length).toBeLessThanOrEqual(10 + 4);
});

test("a file that changed in a pause is begun anew, with all that is known of it gone", async () => {
  let now = content;
  const slice = (from: number, to: number) => new Blob([now.slice(from, to)]);
  const file = { id: "", key: btoa("a".repeat(39)), size: content.length, name: "", kind: "" };
  const sending = { content: { slice } as Blob, room: "room", modified: 1 };
  const reached = letThrough(server, 1);
  tell({ type: "upload", transfer: 1, file, ...sending });
  await reached;
  tell({ type: "pause", transfer: 1 });
  letAllThrough(server);
  now = contentFor(content.length, 1);
  tell({ type: "upload", transfer: 1, file: { ...file, id: "file 1" }, ...sending });
  expect(await hears("failed")).toMatchObject({ trouble: "changed" });
  const anew = { ...file, key: btoa("b".repeat(39)) };
  tell({ type: "upload", transfer: 1, file: anew, ...sending });
  await hears("done");
  expect(isSame(await server.opened({ ...anew, id: "file 2" }), now)).toBe(true);
});

test("what is called off is forgotten, on the server and here", async () => {
  const file = { id: "", key: btoa("a".repeat(39)), size: content.length, name: "", kind: "" };
  const reached = letThrough(server, 1);
  tell({
    type: "upload",
    transfer: 1,
    file,
    content: new Blob([content]),
    room: "room",
    modified: 1,
  });
  await reached;
  // The page does not know yet how the file is called.
  tell({ type: "cancel", transfer: 1, direction: "up", file });
  await vi.waitFor(() => expect(forgotten).toEqual(["file 1"]), patience);
  expect(server.deleted).toEqual(["file 1"]);

  letAllThrough(server);
  const received = await server.store(content);
  const next = letThrough(server, 2);
  tell({ type: "download", transfer: 2, file: received, place: undefined });
  await next;
  tell({ type: "cancel", transfer: 2, direction: "down", file: received });
  await vi.waitFor(() => expect(forgotten).toHaveLength(2), patience);
  expect(origin.entries.size).toBe(0);
});
