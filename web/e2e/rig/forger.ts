import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server as Listener } from "node:http";
import type { AddressInfo } from "node:net";
import type { Server } from "./server.ts";

/** What a server answers, to be changed on its way. */
export interface Passing {
  readonly path: string;
  status: number;
  readonly headers: Headers;
  body: Buffer;
}

/** A server that passes on what another one answers, and forges some of it. */
export class Forger {
  private readonly listener: Listener;

  constructor(server: Server, forge: (passing: Passing) => void) {
    this.listener = createServer(async ({ url = "/", headers }, response) => {
      const answer = await fetch(`${server.url}${url}`, { headers: passedOn(headers) });
      const passing: Passing = {
        path: url,
        status: answer.status,
        headers: new Headers(answer.headers),
        body: Buffer.from(await answer.arrayBuffer()),
      };
      forge(passing);
      passing.headers.delete("content-length");
      response.writeHead(passing.status, Object.fromEntries(passing.headers)).end(passing.body);
    });
  }

  /** Begins to listen. Returns the address to give to browsers. */
  async start(): Promise<string> {
    this.listener.listen(0, "localhost");
    await once(this.listener, "listening");
    return `http://localhost:${(this.listener.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.listener.close();
    this.listener.closeAllConnections();
  }
}

/** No codings, for what is to be changed, and no answer that there is nothing new. */
function passedOn({ accept = "*/*" }: IncomingHttpHeaders): Record<string, string> {
  return { accept, "accept-encoding": "identity" };
}

/** Changes the text of an answer. */
export function rewrite(passing: Passing, change: (text: string) => string): void {
  passing.body = Buffer.from(change(passing.body.toString("utf8")));
}
