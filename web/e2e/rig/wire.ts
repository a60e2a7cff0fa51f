import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Transform } from "node:stream";
import type { Server } from "./server.ts";

/** A line to the server over which no more than so many bytes a second go up. */
export class Wire {
  private readonly sockets = new Set<Socket>();
  private readonly listener = createServer((browser) => {
    const { port, hostname } = new URL(this.server.url);
    const server = connect(Number(port), hostname);
    browser.pipe(this.slowly()).pipe(server).pipe(browser);
    for (const socket of [browser, server]) {
      this.sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        browser.destroy();
        server.destroy();
      });
    }
  });
  /** When what was let through so far has passed. */
  private busyUntil = 0;

  constructor(
    private readonly server: Server,
    public bytesPerSecond: number,
  ) {}

  /** Begins to listen. Returns the address to give to browsers. */
  async start(): Promise<string> {
    this.listener.listen(0, "localhost");
    await once(this.listener, "listening");
    return `http://localhost:${(this.listener.address() as AddressInfo).port}`;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  stop(): void {
    this.listener.close();
    this.cut();
  }

  private slowly(): Transform {
    return new Transform({
      transform: (chunk: Buffer, _, done) => {
        const now = Date.now();
        const from = Math.max(now, this.busyUntil);
        this.busyUntil = from + (chunk.length / this.bytesPerSecond) * 1_000;
        setTimeout(() => done(null, chunk), this.busyUntil - now);
      },
    });
  }
}
