import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { EncodedFrame } from "./frames";
import { blankLedger } from "./ledger";
import type {
  OpeningCommand,
  OpeningEvent,
  OpeningKeyMessage,
  OpeningReport,
  ReceiveOptions,
} from "./messages";

/** What a worker finds around itself. */
class Scope extends EventTarget {
  onmessage: ((event: { data: OpeningCommand }) => void) | undefined;
  readonly told: OpeningEvent[] = [];

  postMessage(event: OpeningEvent): void {
    this.told.push(structuredClone(event));
  }
}

const ada = { leaf: 3, participant: "a", device: "ada", since: 1 };
const nina = { leaf: 3, participant: "n", device: "nina", since: 2 };
const grace = { leaf: 4, participant: "g", device: "grace", since: 1 };

let scope: Scope;
let keys: MessageChannel;
let frames: ReadableStreamDefaultController<EncodedFrame>;
let shown: number;

/** Lets everything that is on its way arrive. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 10));
const say = (data: OpeningCommand) => scope.onmessage?.({ data });
const bound = () => scope.told.flatMap((event) => (event.type === "bound" ? [event.holder] : []));

async function give(message: OpeningKeyMessage): Promise<void> {
  keys.port1.postMessage(message);
  await settle();
}

const install = (epoch: number, key: number, holders: (typeof ada)[]) =>
  give({
    type: "install",
    epoch,
    key: Uint8Array.of(key),
    ledger: blankLedger(false),
    holders,
  });

async function arrive(...sealed: number[]): Promise<void> {
  frames.enqueue({
    data: Uint8Array.from(sealed).buffer,
    type: "key",
    getMetadata: () => ({ payloadType: 96 }),
  });
  await settle();
}

function report(): OpeningReport["incoming"][number] | undefined {
  say({ type: "report", id: 1 });
  const last = scope.told.at(-1);
  return last?.type === "report" ? last.report.incoming[0] : undefined;
}

beforeEach(async () => {
  vi.resetModules();
  // A worker of its own for each test, with all that it imports.
  vi.doMock("./wasm", async () => {
    const { FakeModule } = await import("./module.fake");
    return { start: () => undefined, FrameOpener: FakeModule };
  });
  scope = new Scope();
  vi.stubGlobal("self", scope);
  await import("./opening.worker");
  keys = new MessageChannel();
  const module = undefined as unknown as WebAssembly.Module;
  say({ type: "start", number: 0, module, keys: keys.port2 });
  say({ type: "negotiated", peer: 1, payloadTypes: { 96: "vp8" } });
  shown = 0;
  const readable = new ReadableStream<EncodedFrame>({
    start(controller) {
      frames = controller;
    },
  });
  const writable = new WritableStream<EncodedFrame>({
    write() {
      shown += 1;
    },
  });
  const options: ReceiveOptions = { peer: 1, slot: "camera-0", accepts: "camera" };
  const transformer = { readable, writable, options };
  scope.dispatchEvent(Object.assign(new Event("rtctransform"), { transformer }));
});

afterEach(() => {
  keys.port1.close();
  vi.unstubAllGlobals();
  vi.doUnmock("./wasm");
});

it("a slot is nobody's as soon as its sender's leaf is another's, and plays nothing of theirs", async () => {
  await install(1, 11, [ada, grace]);
  await arrive(1, 11, 3, 0);
  expect(report()?.holder).toEqual(ada);
  await install(2, 12, [nina, grace]);
  expect(report()?.holder).toBeNull();
  // What the server has kept back of the one is not the other's picture.
  await arrive(1, 11, 3, 1);
  expect(report()).toMatchObject({ holder: null, opened: 1, dropped: { former_holder: 1 } });
  await arrive(2, 12, 3, 0);
  expect(report()?.holder).toEqual(nina);
  expect([bound(), shown]).toEqual([[ada, nina], 2]);
});

it("a slot stays with who stays", async () => {
  await install(1, 11, [ada, grace]);
  await arrive(1, 11, 4, 0);
  await install(2, 12, [nina, grace]);
  await arrive(1, 11, 4, 1);
  await arrive(2, 12, 4, 0);
  expect([bound(), shown]).toEqual([[grace], 3]);
});

it("a slot is told anew when a departure is annulled, and when everything begins anew", async () => {
  await install(1, 11, [ada]);
  await install(2, 12, [nina]);
  await arrive(2, 12, 3, 0);
  await give({ type: "back", epoch: 1, holders: [ada] });
  expect(report()?.holder).toBeNull();
  await arrive(1, 11, 3, 0);
  expect([bound(), report()?.holder]).toEqual([[nina, ada], ada]);
  await give({ type: "reset" });
  expect(report()?.holder).toBeNull();
});

it("what waits for its key is told under its sender's name, or not at all", async () => {
  await install(1, 11, [ada]);
  await arrive(2, 12, 3, 0);
  await arrive(3, 13, 3, 0);
  expect(shown).toBe(0);
  await install(2, 12, []);
  expect([bound(), shown]).toEqual([[], 0]);
  await install(3, 13, [{ ...nina, since: 3 }]);
  expect([bound(), shown]).toEqual([[{ ...nina, since: 3 }], 1]);
  expect(report()).toMatchObject({ late: 1, dropped: { former_holder: 1 } });
});
