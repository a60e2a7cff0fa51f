import { beforeEach, expect, test, vi } from "vitest";
import type { SharedFile } from "../protocol/SharedFile";
import { Files } from "./files";
import type { FilesCommand, FilesEvent } from "./messages";
import { Origin, Place } from "./origin.fake";
import { patience } from "./server.fake";
import type { Transfer } from "./transfer";
import type { Unfinished } from "./unfinished";

const { rows } = vi.hoisted(() => ({ rows: new Map<string, unknown>() }));

vi.mock("./unfinished", () => ({
  unfinished: async () => [...rows.values()],
  unfinishedIn: async () => [...rows.values()],
  keep: async (row: Unfinished) => rows.set(row.id, row),
  forgetUnfinished: async (id: string) => rows.delete(id),
}));

/** What the page told its worker, and how the worker answers. */
class Desk {
  static last: Desk;
  readonly told: FilesCommand[] = [];
  isEnded = false;
  onmessage: (event: { data: FilesEvent }) => void = () => undefined;

  constructor() {
    Desk.last = this;
  }

  postMessage(command: FilesCommand): void {
    this.told.push(command);
  }

  terminate(): void {
    this.isEnded = true;
  }
}

let origin: Origin;

beforeEach(() => {
  rows.clear();
  origin = new Origin();
  vi.useFakeTimers();
  vi.stubGlobal("navigator", origin.navigator);
  vi.stubGlobal("Worker", Desk);
  vi.stubGlobal("window", {});
});

const shared: SharedFile = { id: "id", key: "key", size: 9 << 20, name: "a_b.bin", kind: "" };

const only = (files: Files): Transfer => {
  const [transfer] = files.transfers.value;
  if (!transfer) throw new Error("there is no transfer");
  return transfer;
};

const told = <T extends FilesCommand["type"]>(type: T) =>
  Desk.last.told.filter((one): one is Extract<FilesCommand, { type: T }> => one.type === type);

/** A page that was loaded anew, with this on its way. */
async function after(row: Partial<Unfinished>): Promise<Files> {
  rows.set("id", { id: "id", room: "room", file: shared, at: 0, ...row });
  const files = new Files("room", () => undefined);
  files.setLive(true);
  await vi.waitFor(() => expect(files.transfers.value).toHaveLength(1), patience);
  return files;
}

test("only the same file can be chosen again, as far as can be told from outside", async () => {
  const files = await after({ direction: "up", modified: 5 });
  const transfer = only(files);
  expect(transfer.stage.value).toBe("lost");
  const chosen = (name: string, size = 9 << 20, lastModified = 5) =>
    files.choose(transfer, new File([new Uint8Array(size)], name, { lastModified }));
  expect(chosen("other.bin")).toBe(false);
  expect(chosen("a/b.bin", 3)).toBe(false);
  expect(chosen("a/b.bin", 9 << 20, 6)).toBe(false);
  expect(told("upload")).toEqual([]);
  expect(chosen("a/b.bin")).toBe(true);
  expect(told("upload")).toMatchObject([{ file: shared, room: "room", modified: 5 }]);
});

test("a file that changed is sent anew under another key, if at all", async () => {
  const files = await after({ direction: "up", content: new File(["content"], "a_b.bin") });
  const transfer = only(files);
  await files.resume(transfer);
  const event = { type: "failed", transfer: transfer.number, trouble: "changed" } as const;
  Desk.last.onmessage({ data: event });
  expect(rows.size).toBe(0);
  await files.resume(transfer);
  const [first, second] = told("upload");
  expect(first?.file).toEqual(shared);
  expect(second?.file).toMatchObject({ id: "", name: shared.name });
  expect(second?.file.key).not.toBe(shared.key);
});

test("what goes to a place that the person picked goes on there, after a reload as well", async () => {
  const { handle } = new Place();
  vi.stubGlobal("window", { showSaveFilePicker: async () => handle });
  const files = new Files("room", () => undefined);
  await files.take(shared);
  files.pause(only(files));
  await files.resume(only(files));
  expect(told("download").map(({ place }) => place)).toEqual([handle, handle]);
  const ask = vi.fn(async () => "granted");
  const again = await after({
    direction: "down",
    place: Object.assign(handle, { requestPermission: ask }),
  });
  await again.resume(only(again));
  expect(told("download").map(({ place }) => place)).toEqual([handle]);
  ask.mockResolvedValue("denied");
  again.pause(only(again));
  await again.resume(only(again));
  expect(only(again).stage.value).toBe("paused");
});

test("what was received is deleted some time after the call, if nobody needs it", async () => {
  const { openReceived } = await import("./received");
  await (await openReceived(shared)).finish();
  await (await openReceived({ ...shared, id: "unfinished" })).close();
  rows.set("unfinished", { direction: "down", file: { ...shared, id: "unfinished" } });
  const files = new Files("room", () => undefined);
  files.end();
  expect(Desk.last.isEnded).toBe(true);
  origin.closeWindows();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(origin.entries.size).toBe(2);
  await vi.advanceTimersByTimeAsync(40_000);
  await vi.waitFor(() => expect(origin.entries.size).toBe(1), patience);
});

test("what was received is deleted when a page has started, wherever that is", async () => {
  const { openReceived } = await import("./received");
  const { tidyAfterStart } = await import("./tidying");
  await (await openReceived(shared)).finish();
  origin.closeWindows();
  tidyAfterStart();
  await vi.advanceTimersByTimeAsync(10_000);
  await vi.waitFor(() => expect(origin.entries.size).toBe(0), patience);
});
