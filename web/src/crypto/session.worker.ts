/**
 * The session worker: the line to the server and the MLS membership. It alone holds group
 * secrets; media keys leave it for the workers that seal and open frames only, over channels of
 * their own.
 */

import type { ClientMessage } from "../protocol/ClientMessage";
import type { HostRequest } from "../protocol/HostRequest";
import type { ServerMessage } from "../protocol/ServerMessage";
import type { SharedFile } from "../protocol/SharedFile";
import { Courier } from "./courier";
import { type Device, loadDevice } from "./device";
import { Line, withInvite } from "./line";
import type { SessionCommand, SessionEvent } from "./messages";
import { Membership, type MembershipOutput, start } from "./wasm";

/** To the one worker that seals. */
let sealing: MessagePort | undefined;
let opening: readonly MessagePort[] = [];
let stay: Stay | undefined;
/** The same in all of a call, even where it cannot be kept for the next one. */
let device: Promise<Device> | undefined;
/** What the last membership knew of the call: the next one enters no other. */
let remembered: string | undefined;
/** Counts what was asked for, since the device's signature takes a moment. */
let wanted = 0;

const tell = (event: SessionEvent): void => self.postMessage(event);

/** One membership and the line to it. Both end together. */
class Stay {
  readonly #membership: Membership;
  readonly #line: Line;
  readonly #courier = new Courier(sealing, opening, self.crossOriginIsolated);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(url: string, membership: Membership, invite: string | undefined) {
    this.#membership = membership;
    this.#line = new Line(url, withInvite(membership.joinMessage(), invite), {
      heard: (message, text) => this.#hear(message, text),
      session: (token) => tell({ type: "session", token }),
      broke: () => {
        tell({ type: "broke" });
        this.#wind();
      },
      back: (hasMedia) => {
        tell({ type: "back", hasMedia });
        this.#wind();
      },
      lost: () => {
        this.end();
        tell({ type: "closed" });
      },
    });
  }

  post(message: ClientMessage): void {
    this.#line.post(message);
  }

  check(): void {
    this.#line.check();
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

  shareFile(file: SharedFile): void {
    this.#step(() => {
      try {
        this.#membership.shareFile(file);
      } catch {
        // The page says it again until it comes back.
      }
    });
  }

  host(request: HostRequest): void {
    this.#step(() => {
      try {
        this.#membership.host(performance.now(), request);
      } catch (error) {
        tell({ type: "host_refused", reason: error instanceof Error ? error.message : "" });
      }
    });
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#line.end();
    remembered = this.#membership.memory() ?? remembered;
    this.#membership.free();
    this.#courier.end();
  }

  #hear(message: ServerMessage, text: string): void {
    if (this.#over) return;
    switch (message.type) {
      case "joined":
      case "answer":
      case "participant_away":
      case "participant_back":
      case "stranger_refused":
      case "error":
        tell({ type: "server", message });
        break;
      default:
    }
    if (message.type !== "answer") {
      this.#step(() => this.#membership.handle(performance.now(), text));
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
    this.#courier.put(output, (epoch) => this.#membership.baseKey(epoch));
    switch (output.type) {
      case "send":
        this.#line.say(output.message);
        return;
      case "link_changed":
        tell({ type: "link", secret: this.#membership.linkSecret() });
        break;
      default:
    }
    tell({ type: "membership", output });
  }

  #wind(): void {
    clearTimeout(this.#timer);
    if (this.#over) return;
    // What is due is due again when the line is back; but keys are wiped without one too.
    const { isBroken } = this.#line;
    const due = isBroken ? this.#membership.nextExpiry() : this.#membership.nextTimeout();
    if (due === undefined) return;
    const act = () =>
      isBroken
        ? this.#membership.expire(performance.now())
        : this.#membership.handleTimeout(performance.now());
    this.#timer = setTimeout(() => this.#step(act), Math.max(0, due - performance.now()));
  }
}

async function join(command: Extract<SessionCommand, { type: "join" }>): Promise<void> {
  const turn = hangUp();
  device ??= loadDevice();
  const { lasting } = await device;
  const membership = await Membership.of(await device, command, command.name);
  if (turn !== wanted) {
    membership.free();
    return;
  }
  if (remembered !== undefined) membership.recall(remembered);
  tell({ type: "device", lasting });
  stay = new Stay(command.url, membership, command.invite);
}

/** Ends the stay, and any that is about to be. */
function hangUp(): number {
  stay?.end();
  stay = undefined;
  wanted += 1;
  return wanted;
}

const broken = (error: unknown): void => tell({ type: "broken", detail: String(error) });

self.onmessage = ({ data: command }: MessageEvent<SessionCommand>) => {
  try {
    switch (command.type) {
      case "start":
        start(command.module);
        ({ sealing, opening } = command);
        break;
      case "join":
        join(command).catch(broken);
        break;
      case "offer":
        stay?.post(command.offer);
        break;
      case "chat":
        stay?.chat(command.text);
        break;
      case "share_file":
        stay?.shareFile(command.file);
        break;
      case "host":
        stay?.host(command.request);
        break;
      case "leave":
        stay?.post({ type: "leave" });
        hangUp();
        break;
      case "check":
        stay?.check();
        break;
    }
  } catch (error) {
    broken(error);
  }
};
