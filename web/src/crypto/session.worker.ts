/**
 * The session worker: the line to the server and the MLS membership. It alone holds group
 * secrets; media keys leave it for the frames worker only, over a channel of their own.
 */
import type { ServerMessage } from "../protocol/ServerMessage";
import type { KeyMessage, SessionCommand, SessionEvent } from "./messages";
import { Membership, type MembershipOutput, start } from "./wasm";

let keys: MessagePort | undefined;
let line: Line | undefined;

const tell = (event: SessionEvent): void => self.postMessage(event);

const give = (message: KeyMessage, transfer: Transferable[] = []): void =>
  keys?.postMessage(message, transfer);

/** One WebSocket with one membership. Both end together; coming back takes a new line. */
class Line {
  readonly #membership: Membership;
  readonly #socket: WebSocket;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(command: Extract<SessionCommand, { type: "join" }>) {
    this.#membership = new Membership(command.room, command.secret, command.name);
    this.#socket = new WebSocket(command.url);
    this.#socket.onopen = () => this.#socket.send(this.#membership.joinMessage());
    this.#socket.onmessage = ({ data }) => this.#hear(data);
    this.#socket.onclose = () => {
      if (this.#over) return;
      this.end();
      tell({ type: "closed" });
    };
  }

  say(message: unknown): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  chat(text: string): void {
    this.#step(() => {
      try {
        this.#membership.sendChat(text);
      } catch {
        tell({ type: "chat_refused", text });
      }
    });
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#membership.free();
    give({ type: "reset" });
  }

  #hear(data: unknown): void {
    if (this.#over || typeof data !== "string") return;
    const message = JSON.parse(data) as ServerMessage;
    switch (message.type) {
      case "joined":
      case "answer":
      case "stranger_refused":
      case "error":
        tell({ type: "server", message });
        break;
      default:
    }
    if (message.type !== "answer") {
      this.#step(() => this.#membership.handle(performance.now(), data));
    }
  }

  #step(change: () => void): void {
    if (this.#over) return;
    try {
      change();
      for (let output = this.#membership.poll(); output; output = this.#membership.poll()) {
        this.#put(output);
      }
    } catch (error) {
      tell({ type: "broken", detail: String(error) });
    }
    this.#wind();
  }

  #put(output: MembershipOutput): void {
    switch (output.type) {
      case "send":
        this.say(output.message);
        return;
      case "keys_ready": {
        const key = this.#membership.baseKey(output.epoch);
        const { epoch, own_leaf: leaf } = output;
        give({ type: "install", epoch, leaf, key }, [key.buffer]);
        break;
      }
      case "seal_with":
      case "forget":
        give({ type: output.type, epoch: output.epoch });
        break;
      default:
    }
    tell({ type: "membership", output });
  }

  #wind(): void {
    clearTimeout(this.#timer);
    if (this.#over) return;
    const due = this.#membership.nextTimeout();
    if (due === undefined) return;
    const wait = Math.max(0, due - performance.now());
    this.#timer = setTimeout(
      () => this.#step(() => this.#membership.handleTimeout(performance.now())),
      wait,
    );
  }
}

self.onmessage = ({ data: command }: MessageEvent<SessionCommand>) => {
  try {
    switch (command.type) {
      case "start":
        start(command.module);
        keys = command.keys;
        break;
      case "join":
        line?.end();
        line = new Line(command);
        break;
      case "offer":
        line?.say(command.offer);
        break;
      case "chat":
        line?.chat(command.text);
        break;
      case "leave":
        line?.say({ type: "leave" });
        line?.end();
        line = undefined;
        break;
    }
  } catch (error) {
    tell({ type: "broken", detail: String(error) });
  }
};
