import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Server } from "./server.ts";

/** A wire between browsers and the server on which every byte is written down. */
export class Tap {
  private readonly connections: Buffer[][] = [];
  private readonly sockets = new Set<Socket>();
  private readonly listener = createServer((browser) => {
    const { port, hostname } = new URL(this.server.url);
    const server = connect(Number(port), hostname);
    const chunks: Buffer[] = [];
    this.connections.push(chunks);
    browser.on("data", (chunk: Buffer) => chunks.push(chunk));
    browser.pipe(server).pipe(browser);
    for (const socket of [browser, server]) {
      this.sockets.add(socket);
      socket.on("error", () => socket.destroy());
    }
  });

  constructor(private readonly server: Server) {}

  /** Begins to listen. Returns the address to give to browsers. */
  async start(): Promise<string> {
    this.listener.listen(0, "localhost");
    await once(this.listener, "listening");
    return `http://localhost:${(this.listener.address() as AddressInfo).port}`;
  }

  /** Ends every connection. */
  stop(): void {
    this.listener.close();
    for (const socket of this.sockets) socket.destroy();
  }

  /** All that browsers have sent: HTTP as it is, and the messages of WebSockets without their
   * masks. */
  get sent(): string {
    return this.connections.map((chunks) => unmasked(Buffer.concat(chunks))).join("\n");
  }
}

/** What a browser sent on one connection, readable (RFC 6455 §5.2). */
function unmasked(sent: Buffer): string {
  const head = sent.indexOf("\r\n\r\n") + 4;
  if (!sent.subarray(0, head).toString("latin1").includes("Sec-WebSocket-Key")) {
    return sent.toString("latin1");
  }
  const texts = [sent.subarray(0, head).toString("latin1")];
  for (let at = head; at + 6 <= sent.length; ) {
    const short = (sent[at + 1] ?? 0) & 0x7f;
    const [length, extra] =
      short === 127
        ? [Number(sent.readBigUInt64BE(at + 2)), 8]
        : short === 126
          ? [sent.readUInt16BE(at + 2), 2]
          : [short, 0];
    const mask = sent.subarray(at + 2 + extra, at + 6 + extra);
    const payload = sent.subarray(at + 6 + extra, at + 6 + extra + length);
    const clear = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    texts.push(Buffer.from(clear).toString("latin1"));
    at += 6 + extra + length;
  }
  return texts.join("\n");
}
