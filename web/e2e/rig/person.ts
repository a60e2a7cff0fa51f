import type { BrowserContext, Page } from "puppeteer-core";
import { expect } from "vitest";
import type { CallStats } from "../../src/call/stats.ts";
import type { Kind } from "./browsers.ts";
import type { Instruments } from "./instrument.ts";

/** How long anything that involves media may take on a busy machine. */
export const patience = { timeout: 20_000, interval: 250 };

/** A tile as the page shows it. */
export interface Tile {
  name: string;
  self: boolean;
  source: "camera" | "screen";
  /** Frames that the tile's video element has shown. */
  frames: number;
}

/** Someone in front of a browser. */
export class Person {
  /** What the page wrote to its console, and errors that nothing caught. */
  readonly console: string[] = [];

  constructor(
    readonly name: string,
    readonly kind: Kind,
    readonly page: Page,
    private readonly context: BrowserContext,
  ) {
    page.setDefaultTimeout(patience.timeout);
    page.on("console", (message) => this.console.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => this.console.push(`uncaught: ${String(error)}`));
  }

  /** Presses "New call" and joins it. Returns the link to share. */
  async startCall(server: string): Promise<string> {
    await this.page.goto(server);
    await this.press("New call");
    await this.page.waitForSelector('::-p-aria(Your name[role="textbox"])');
    const link = await this.page.evaluate(() => location.href);
    await this.pressJoin();
    await this.isInCall();
    return link;
  }

  /** Opens a link and joins its call. */
  async join(link: string): Promise<void> {
    await this.knock(link);
    await this.isInCall();
  }

  /** Opens a link and presses "Join", whatever follows. */
  async knock(link: string): Promise<void> {
    await this.page.goto(link);
    await this.pressJoin();
  }

  private async pressJoin(): Promise<void> {
    await this.page.locator('::-p-aria(Your name[role="textbox"])').fill(this.name);
    await this.press("Join");
  }

  private async isInCall(): Promise<void> {
    await this.page.waitForSelector('[data-tile][data-self="true"]');
  }

  /** Presses the button of that name. */
  async press(button: string): Promise<void> {
    await this.page.locator(`::-p-aria(${button}[role="button"])`).click();
  }

  /** The tiles on the page. */
  tiles(): Promise<Tile[]> {
    return this.page.$$eval("[data-tile]", (elements) =>
      elements.map((element) => {
        const video: (HTMLVideoElement & { mozPaintedFrames?: number }) | null =
          element.querySelector("video");
        return {
          name: element.getAttribute("data-name") ?? "",
          self: element.getAttribute("data-self") === "true",
          source: element.getAttribute("data-source") as Tile["source"],
          // Firefox counts no playback quality for streams.
          frames: video?.mozPaintedFrames ?? video?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
        };
      }),
    );
  }

  /** Waits until exactly these others have a camera tile, by their authenticated names. */
  async seesTilesOf(...names: string[]): Promise<void> {
    await expect
      .poll(
        async () =>
          (await this.tiles())
            .filter((tile) => !tile.self && tile.source === "camera")
            .map((tile) => tile.name)
            .sort(),
        { ...patience, message: `${this.name} sees the tiles of` },
      )
      .toEqual([...names].sort());
  }

  /** Frames shown so far in someone's tile. */
  async framesOf(name: string, source: Tile["source"] = "camera"): Promise<number> {
    const tile = (await this.tiles()).find(
      (candidate) => candidate.name === name && candidate.source === source,
    );
    return tile?.frames ?? 0;
  }

  /** Waits until new frames appear in someone's tile. */
  async sees(name: string, source: Tile["source"] = "camera"): Promise<void> {
    const before = await this.framesOf(name, source);
    await expect
      .poll(() => this.framesOf(name, source), {
        ...patience,
        message: `${this.name} sees ${name}'s ${source}`,
      })
      .toBeGreaterThan(before + 5);
  }

  /** Waits until a sound comes out of the page. */
  async hears(): Promise<void> {
    await expect
      .poll(() => this.loudness(), { ...patience, message: `${this.name} hears something` })
      .toBeGreaterThan(0.01);
  }

  /** The mean amplitude, of 1, of what the page plays for a second and a half. Asked of the
   * browser's statistics, as Firefox runs no AudioContext on a machine without a sound card. */
  loudness(): Promise<number> {
    return this.ask(async (connections) => {
      const energy = async (): Promise<number> => {
        let sum = 0;
        for (const connection of connections) {
          for (const report of (await connection.getStats()).values()) {
            if (report.type === "inbound-rtp") sum += report.totalAudioEnergy ?? 0;
          }
        }
        return sum;
      };
      const before = await energy();
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return Math.sqrt(Math.max(0, (await energy()) - before) / 1.5);
    });
  }

  /** What each connection's media goes over: "udp" or "tcp". */
  mediaTransports(): Promise<string[]> {
    return this.ask(async (connections) => {
      const transports: string[] = [];
      for (const connection of connections) {
        const stats = await connection.getStats();
        for (const report of stats.values()) {
          if (report.type !== "transport") continue;
          const pair = stats.get(report.selectedCandidatePairId);
          const local = pair && stats.get(pair.localCandidateId);
          if (local) transports.push(local.protocol);
        }
      }
      return transports;
    });
  }

  /** Asks the page's connections something, behind the page's back. */
  async ask<T>(question: (connections: RTCPeerConnection[]) => Promise<T>): Promise<T> {
    const instruments = await this.page.evaluateHandle(
      () => (window as unknown as { instruments: Instruments }).instruments.connections,
    );
    return (await instruments.evaluate(question)) as T;
  }

  /** Waits for another's camera tile with a name like this, and returns the name. */
  async namedLike(pattern: RegExp): Promise<string> {
    const names = async (): Promise<string[]> =>
      (await this.tiles()).filter((tile) => !tile.self).map((tile) => tile.name);
    const find = async (): Promise<string | undefined> =>
      (await names()).find((name) => pattern.test(name));
    await expect
      .poll(find, { ...patience, message: `${this.name} sees a tile named ${pattern}` })
      .toBeDefined();
    return (await find()) ?? "";
  }

  /** The mean colours of the lower half of someone's tile: red, green and blue on the left, then
   * on the right. */
  coloursOf(name: string): Promise<number[]> {
    return this.page.$$eval(
      "[data-tile]",
      (tiles, name) => {
        const tile = tiles.find((candidate) => candidate.getAttribute("data-name") === name);
        const video = tile?.querySelector("video");
        const brush = new OffscreenCanvas(64, 36).getContext("2d", {
          willReadFrequently: true,
        });
        if (!video || !brush) throw new Error(`There is no video of ${name}`);
        brush.drawImage(video, 0, 0, 64, 36);
        return [4, 36].flatMap((left) => {
          // Clear of the border between the halves.
          const { data } = brush.getImageData(left, 18, 24, 16);
          return [0, 1, 2].map((channel) => {
            const values = data.filter((_, at) => at % 4 === channel);
            return values.reduce((sum, value) => sum + value, 0) / values.length;
          });
        });
      },
      name,
    );
  }

  /** Writes a line of chat. */
  async say(text: string): Promise<void> {
    await this.openChat();
    await this.page.locator('::-p-aria(Message[role="textbox"])').fill(text);
    await this.press("Send");
  }

  /** Waits until a line of chat with these texts in it is shown. */
  async reads(...texts: string[]): Promise<void> {
    await this.openChat();
    const lines = (): Promise<string[]> =>
      this.page.$$eval("[data-chat-message]", (all) => all.map((line) => line.textContent ?? ""));
    await expect
      .poll(
        async () => (await lines()).some((line) => texts.every((text) => line.includes(text))),
        {
          ...patience,
          message: `${this.name} reads ${texts.join(", ")}`,
        },
      )
      .toBe(true);
  }

  /** How often a line of chat with this text in it is shown. */
  async timesRead(text: string): Promise<number> {
    await this.openChat();
    const lines = await this.page.$$eval("[data-chat-message]", (all) =>
      all.map((line) => line.textContent ?? ""),
    );
    return lines.filter((line) => line.includes(text)).length;
  }

  /** Waits until the banner of the call says this. */
  async bannerSays(pattern: RegExp): Promise<void> {
    await this.findsText(".banner", pattern);
  }

  /** What somebody's tile tells those who cannot see it. */
  labelOf(name: string): Promise<string> {
    return this.page.$eval(
      `[data-tile][data-name="${name}"]`,
      (tile) => tile.getAttribute("aria-label") ?? "",
    );
  }

  private async openChat(): Promise<void> {
    if (!(await this.page.$('[role="log"]'))) await this.press("Chat");
    await this.page.waitForSelector('[role="log"]');
  }

  /** Waits for a notice in which this stands. */
  async isTold(pattern: RegExp): Promise<void> {
    await this.findsText("[data-notice]", pattern);
  }

  /** Waits for a fatal error in which this stands. */
  async isStoppedBy(pattern: RegExp): Promise<void> {
    await this.findsText('[role="alert"]', pattern);
  }

  private async findsText(selector: string, pattern: RegExp): Promise<void> {
    await expect
      .poll(
        () => this.page.$$eval(selector, (all) => all.map((element) => element.textContent).join()),
        { ...patience, message: `${this.name} is shown` },
      )
      .toMatch(pattern);
  }

  /** What the page says about its call in numbers. */
  stats(): Promise<CallStats> {
    return this.page.evaluate(() =>
      (window as unknown as { conclave: { stats(): CallStats } }).conclave.stats(),
    );
  }

  /** Closes the window. */
  async goAway(): Promise<void> {
    if (!this.context.closed) await this.context.close();
  }
}
