/**
 * A page without a call: a worker that seals and workers that open, as the client has them, with
 * keys that the page draws itself. Tests and measurements drive it from outside.
 */
import { blankLedger } from "../../src/crypto/ledger";
import type {
  OpeningCommand,
  OpeningEvent,
  OpeningKeyMessage,
  OpeningReport,
  ReceiveOptions,
  SealingCommand,
  SealingKeyMessage,
  SendOptions,
} from "../../src/crypto/messages";
import wasmUrl from "../../src/wasm/conclave_e2ee_bg.wasm?url";
import { type Comparison, compare } from "./compare";
import type { Fed, Feed } from "./feed";
import { measureGroups } from "./group";
import type { Measured } from "./group.worker";

const EPOCH = 3;
const LEAF = 5;
const HOLDERS = [{ leaf: LEAF, participant: "0000000000000005", device: "5", since: EPOCH }];
const PEER = 1;
const VP8 = 96;
const payloadTypes = { [VP8]: "vp8" } as const;

const module = WebAssembly.compileStreaming(fetch(wasmUrl));
let feeds = 0;

/** A worker whose frames come from here. */
class Bench {
  readonly keys = new MessageChannel();

  constructor(readonly worker: Worker) {}

  async start(number: number): Promise<void> {
    const { port2: keys } = this.keys;
    const begin: SealingCommand & OpeningCommand = {
      type: "start",
      number,
      module: await module,
      keys,
    };
    this.worker.postMessage(begin, [keys]);
    const negotiated: SealingCommand = { type: "negotiated", peer: PEER, payloadTypes };
    this.worker.postMessage(negotiated);
  }

  install(message: SealingKeyMessage | OpeningKeyMessage): void {
    this.keys.port1.postMessage(message);
  }

  /** Puts frames through, and returns what comes out. */
  feed(options: SendOptions | ReceiveOptions, frames: readonly ArrayBuffer[]): Promise<Fed> {
    feeds += 1;
    const feed: Feed = { type: "feed", id: feeds, options, payloadType: VP8, frames };
    const fed = this.#hear<Fed>((data) => data.type === "fed" && data.id === feed.id);
    this.worker.postMessage(feed, [...frames]);
    return fed;
  }

  /** What an opening worker has counted. */
  async report(): Promise<OpeningReport> {
    type Report = Extract<OpeningEvent, { type: "report" }>;
    const told = this.#hear<Report>((data) => data.type === "report");
    this.worker.postMessage({ type: "report", id: 0 } satisfies OpeningCommand);
    return (await told).report;
  }

  /** Waits for the key with which it is to seal. */
  sealing(): Promise<{ type: "sealing" }> {
    return this.#hear(({ type }) => type === "sealing");
  }

  #hear<T extends { type: string }>(wanted: (data: T) => boolean): Promise<T> {
    return new Promise((resolve) => {
      const listen = ({ data }: MessageEvent<T>) => {
        if (!wanted(data)) return;
        this.worker.removeEventListener("message", listen);
        resolve(data);
      };
      this.worker.addEventListener("message", listen);
    });
  }
}

/** One worker that seals, and some that open what it has sealed. */
async function set(openers: number): Promise<{ sealing: Bench; opening: Bench[] }> {
  const key = crypto.getRandomValues(new Uint8Array(16));
  const ledger = blankLedger(true);
  const sealing = new Bench(
    new Worker(new URL("./sealing.ts", import.meta.url), { type: "module" }),
  );
  const opening = Array.from(
    { length: openers },
    () => new Bench(new Worker(new URL("./opening.ts", import.meta.url), { type: "module" })),
  );
  await sealing.start(0);
  sealing.install({ type: "install", epoch: EPOCH, leaf: LEAF, key });
  const ready = sealing.sealing();
  sealing.install({ type: "seal_with", epoch: EPOCH });
  // Keys come another way than frames: let them be there first.
  await ready;
  for (const [number, bench] of opening.entries()) {
    await bench.start(number);
    bench.install({ type: "install", epoch: EPOCH, key, ledger, holders: HOLDERS });
    while ((await bench.report()).newest !== EPOCH);
  }
  return { sealing, opening };
}

const SEND: SendOptions = { peer: PEER, source: "camera" };
const receive = (slot: string): ReceiveOptions => ({ peer: PEER, slot, accepts: "camera" });

/** Delta frames of VP8, which begin with an odd byte. */
function drawn(count: number, bytes: number): ArrayBuffer[] {
  const frame = crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536)));
  frame[0] = 1;
  return Array.from({ length: count }, () => frame.slice().buffer);
}

const copies = (frames: readonly ArrayBuffer[]): ArrayBuffer[] =>
  frames.map((frame) => frame.slice(0));

/** What each of two slots, in workers of their own, showed of one stream. */
export interface Replay {
  /** Frames that came out of a slot, by step. */
  readonly shown: number[];
  /** What both workers dropped, by reason. */
  readonly dropped: Readonly<Record<string, number>>[];
}

/** Plays a server that puts one stream's frames into slots of two workers. */
async function replay(): Promise<Replay> {
  const { sealing, opening } = await set(2);
  const [one, other] = opening as [Bench, Bench];
  const { frames } = await sealing.feed(SEND, drawn(30, 1_000));
  const [first, second, third] = [frames.slice(0, 10), frames.slice(10, 20), frames.slice(20)];
  const shown: number[] = [];
  const show = async (bench: Bench, slot: string, frames: readonly ArrayBuffer[]) =>
    shown.push((await bench.feed(receive(slot), copies(frames))).frames.length);
  // Ten frames in one slot, and again in the other.
  await show(one, "camera-0", first);
  await show(other, "camera-1", first);
  // The stream moves on to the other slot; the one that had it is given the same frames.
  await show(other, "camera-1", second);
  await show(one, "camera-0", second);
  // Everything from the beginning in both.
  await show(one, "camera-0", [...first, ...third]);
  await show(other, "camera-1", frames);
  const reports = await Promise.all([one.report(), other.report()]);
  for (const { worker } of [sealing, ...opening]) worker.terminate();
  return { shown, dropped: reports.map(({ incoming }) => incoming[0]?.dropped ?? {}) };
}

/** One worker that seals and one that opens, in steps, so that each can be timed from outside. */
class Line {
  #frames: readonly ArrayBuffer[] = [];

  private constructor(
    readonly sealing: Bench,
    readonly opening: Bench,
  ) {}

  static async start(): Promise<Line> {
    const { sealing, opening } = await set(1);
    return new Line(sealing, opening[0] as Bench);
  }

  draw(count: number, bytes: number): void {
    this.#frames = drawn(count, bytes);
  }

  async seal(): Promise<void> {
    this.#frames = (await this.sealing.feed(SEND, this.#frames)).frames;
  }

  /** Returns how many of the frames were opened. */
  async open(): Promise<number> {
    return (await this.opening.feed(receive("camera-0"), this.#frames)).frames.length;
  }

  end(): void {
    for (const { worker } of [this.sealing, this.opening]) worker.terminate();
  }
}

/** What the tests find in the page. */
export interface Workshop {
  replay(): Promise<Replay>;
  line(): Promise<Line>;
  compare(bytes: number, how: Comparison, ms: number): Promise<{ frames: number; ms: number }>;
  groups(sizes: readonly number[], repetitions: number): Promise<Measured[]>;
}

const workshop: Workshop = {
  replay,
  line: () => Line.start(),
  compare: async (bytes, how, ms) => compare(await module, bytes, how, ms),
  groups: async (sizes, repetitions) => measureGroups(await module, sizes, repetitions),
};
Object.assign(window, { workshop });
