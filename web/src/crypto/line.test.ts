import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientMessage } from "../protocol/ClientMessage";
import { Line, withInvite } from "./line";

/** A socket that a test holds the other end of. */
class Socket {
  static readonly OPEN = 1;
  static all: Socket[] = [];
  readyState = 0;
  readonly sent: Record<string, unknown>[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor(readonly url: string) {
    Socket.all.push(this);
  }

  static get last(): Socket {
    const last = Socket.all.at(-1);
    if (!last) throw new Error("nobody dialled");
    return last;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 3;
  }

  opens(): this {
    this.readyState = Socket.OPEN;
    this.onopen?.();
    return this;
  }

  says(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  breaks(): void {
    this.readyState = 3;
    this.onclose?.();
  }
}

const JOIN = JSON.stringify({ type: "join", version: 1, room: "garden", room_auth: "x" });
const chat = (message: string): ClientMessage => ({ type: "send", message });

/** A line on which everything that happens is written down. */
function open(): { line: Line; told: string[] } {
  const told: string[] = [];
  const line = new Line("ws://server/ws", JOIN, {
    heard: (message) => told.push(message.type),
    broke: () => told.push("broke"),
    back: (hasMedia) => told.push(`back ${hasMedia}`),
    lost: () => told.push("lost"),
    session: () => {},
  });
  Socket.last.opens().says({ type: "session", token: "t", kept_for: 45 });
  return { line, told };
}

describe("a line", () => {
  beforeEach(() => {
    Socket.all = [];
    vi.stubGlobal("WebSocket", Socket);
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("joins, and asks for its place to be kept", () => {
    open();
    expect(Socket.last.sent.map(({ type }) => type)).toEqual(["join", "keep_session"]);
  });

  it("says again what was not heard, in order, and nothing else", async () => {
    const { line, told } = open();
    for (const text of ["one", "two", "three"]) line.say(chat(text));
    Socket.last.says({ type: "heard", number: 1 });
    Socket.last.says({ at: 9, type: "epoch_complete", epoch: 1 });
    Socket.last.breaks();
    line.say(chat("four"));
    await vi.advanceTimersByTimeAsync(50);
    Socket.last.opens();
    expect(Socket.last.sent).toEqual([{ type: "resume", version: 1, token: "t", seen: 9 }]);
    Socket.last.says({ type: "resumed", heard: 2, has_media: true });
    expect(Socket.last.sent.slice(1)).toEqual([
      { type: "send", message: "three", number: 3 },
      { type: "send", message: "four", number: 4 },
    ]);
    expect(told).toEqual(["epoch_complete", "broke", "back true"]);
  });

  it("does not repeat an offer, which is of no use later", async () => {
    const { line } = open();
    Socket.last.breaks();
    line.post({ type: "offer", sdp: "", tracks: [], slots: [] });
    await vi.advanceTimersByTimeAsync(50);
    Socket.last.opens().says({ type: "resumed", heard: 0, has_media: false });
    expect(Socket.last.sent.map(({ type }) => type)).toEqual(["resume"]);
  });

  it("notices by itself that nothing comes any more", async () => {
    const { told } = open();
    await vi.advanceTimersByTimeAsync(4_000);
    expect(Socket.last.sent.at(-1)).toEqual({ type: "probe" });
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(told).toEqual(["broke"]);
  });

  it("stands as long as probes are answered", async () => {
    const { told } = open();
    for (let round = 0; round < 5; round += 1) {
      await vi.advanceTimersByTimeAsync(4_100);
      Socket.last.says({ type: "here" });
      await vi.advanceTimersByTimeAsync(2_000);
    }
    expect(told).toEqual([]);
    expect(Socket.all).toHaveLength(1);
  });

  it("doubts itself before the server where it was held up", async () => {
    const { told } = open();
    await vi.advanceTimersByTimeAsync(4_000);
    await vi.advanceTimersByTimeAsync(1_999);
    // The timer comes three seconds late, and the answer has to wait behind it.
    const onTime = performance.now.bind(performance);
    const clock = vi.spyOn(performance, "now").mockImplementation(() => onTime() + 3_000);
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    Socket.last.says({ type: "here" });
    await vi.advanceTimersByTimeAsync(2_000);
    clock.mockRestore();
    expect(told).toEqual([]);
    expect(Socket.all).toHaveLength(1);
  });

  it("is not held up for ever", async () => {
    const { told } = open();
    await vi.advanceTimersByTimeAsync(4_000);
    const time = performance.now();
    let reads = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => time + 5_000 * reads++);
    await vi.advanceTimersByTimeAsync(4_000);
    clock.mockRestore();
    expect(told).toEqual(["broke"]);
  });

  it("dials anew where a connection does not come about", async () => {
    open();
    Socket.last.breaks();
    await vi.advanceTimersByTimeAsync(5_000);
    const dialled = Socket.all.length;
    expect(dialled).toBeGreaterThanOrEqual(3);
    expect(Socket.all.slice(1, -1).every(({ readyState }) => readyState === 3)).toBe(true);
  });

  it("gives a slow network more time with each attempt", async () => {
    const random = vi.spyOn(Math, "random").mockReturnValue(0.5);
    open();
    Socket.last.breaks();
    // Three round trips of a second each: no attempt may be cut off there for ever.
    let dialled = Date.now();
    const known = new Set(Socket.all);
    const waited: number[] = [];
    for (let now = 0; now < 40_000; now += 10) {
      await vi.advanceTimersByTimeAsync(10);
      if (known.has(Socket.last)) continue;
      known.add(Socket.last);
      waited.push(Date.now() - dialled);
      dialled = Date.now();
    }
    // The pause before an attempt is counted with the one that was given up.
    const patience = waited.slice(1, 6).map((time) => Math.floor(time / 100) * 100);
    expect(patience).toEqual([1_600, 3_300, 6_600, 11_000, 11_000]);
    random.mockRestore();
  });

  it("gives a line up that opens and then says nothing", async () => {
    const { told } = open();
    Socket.last.breaks();
    await vi.advanceTimersByTimeAsync(50);
    const silent = Socket.last.opens();
    await vi.advanceTimersByTimeAsync(4_900);
    expect(Socket.last).toBe(silent);
    await vi.advanceTimersByTimeAsync(400);
    expect(Socket.last).not.toBe(silent);
    Socket.last.opens().says({ type: "resumed", heard: 0, has_media: true });
    await vi.advanceTimersByTimeAsync(3_900);
    expect(told).toEqual(["broke", "back true"]);
  });

  it("is lost in time where lines open and say nothing", async () => {
    const { told } = open();
    Socket.last.breaks();
    for (let second = 0; second < 60; second += 1) {
      await vi.advanceTimersByTimeAsync(1_000);
      if (Socket.last.readyState === 0) Socket.last.opens();
    }
    expect(told).toEqual(["broke", "lost"]);
  });

  it("goes on where the server keeps nothing, and does not come back with a gap", async () => {
    const { line, told } = open();
    for (let number = 1; number <= 2_500; number += 1) line.say(chat("x"));
    expect(told).toEqual([]);
    expect(Socket.last.sent.at(-1)).toEqual({ ...chat("x"), number: 2_500 });
    Socket.last.breaks();
    await vi.advanceTimersByTimeAsync(50);
    Socket.last.opens().says({ type: "resumed", heard: 499, has_media: true });
    expect(told).toEqual(["broke", "lost"]);
  });

  it("comes back once the server has kept what we do not have any more", async () => {
    const { line, told } = open();
    for (let number = 1; number <= 2_500; number += 1) line.say(chat("x"));
    Socket.last.breaks();
    await vi.advanceTimersByTimeAsync(50);
    Socket.last.opens().says({ type: "resumed", heard: 500, has_media: true });
    expect(told).toEqual(["broke", "back true"]);
    expect(Socket.last.sent.slice(1).map(({ number }) => number)).toEqual(
      Array.from({ length: 2_000 }, (_, place) => 501 + place),
    );
  });

  it("is lost where more waits to be said than anybody keeps", async () => {
    const { line, told } = open();
    Socket.last.breaks();
    for (let number = 1; number <= 2_001; number += 1) line.say(chat("x"));
    expect(told).toEqual(["broke", "lost"]);
  });

  it("is lost when its place is, and when it was away for too long", async () => {
    const first = open();
    Socket.last.breaks();
    await vi.advanceTimersByTimeAsync(50);
    Socket.last.opens().says({ type: "error", code: "session_lost", detail: "" });
    expect(first.told).toEqual(["broke", "lost"]);

    const second = open();
    Socket.last.breaks();
    for (let second = 0; second < 60; second += 1) {
      Socket.last.breaks();
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(second.told).toEqual(["broke", "lost"]);
  });

  it("takes the end of a server that restarts for a break", async () => {
    const { told } = open();
    Socket.last.says({ type: "error", code: "shutting_down", detail: "" });
    Socket.last.breaks();
    expect(told).toEqual(["broke"]);
  });

  it("shows an invite where there is one", () => {
    expect(withInvite(JOIN, undefined)).toBe(JOIN);
    expect(JSON.parse(withInvite(JOIN, "i"))).toEqual({ ...JSON.parse(JOIN), invite: "i" });
  });

  it("is lost without a place that is kept", () => {
    const told: string[] = [];
    new Line("ws://server/ws", JOIN, {
      heard: () => {},
      broke: () => told.push("broke"),
      back: () => {},
      lost: () => told.push("lost"),
      session: () => {},
    });
    Socket.last.breaks();
    expect(told).toEqual(["lost"]);
  });
});
