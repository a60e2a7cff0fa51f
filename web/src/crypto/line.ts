/**
 * The line to the server: a WebSocket, and another when that breaks, with nothing lost and
 * nothing twice in either direction. The server numbers what the room tells and we number what
 * we say; whoever comes back says how far it heard the other.
 */
import type { ClientMessage } from "../protocol/ClientMessage";
import type { MessageNumber } from "../protocol/MessageNumber";
import type { Position } from "../protocol/Position";
import type { ServerMessage } from "../protocol/ServerMessage";

/** A line that is silent for so long is asked whether it still stands. */
const QUIET_MS = 4_000;
/** And then given up after this. */
const PROBE_MS = 2_000;
/** The same when something else has failed already, such as the media connection. */
const DOUBT_MS = 1_000;
/**
 * A new connection that takes longer is tried anew: what it waits for may be a lost packet. It may
 * also be a slow network, where TCP, TLS and the upgrade take three round trips: each attempt
 * gets more time than the one before.
 */
const DIAL_MS = [1_500, 3_000, 6_000, 10_000] as const;
/** The first connection of all. */
const FIRST_DIAL_MS = 10_000;
/** A new connection on which the server does not answer in this time is given up, too. */
const ANSWER_MS = 5_000;
/** Pauses between attempts to come back; the last one over and over. */
const PAUSES_MS = [0, 150, 300, 600, 1_000] as const;
/** Timers that come so late mean that the machine has slept. */
const SLEPT_MS = 5_000;
/** A timer that comes so late means that we were held up, and what was said to us may wait too. */
const HELD_UP_MS = 500;
/** As much is kept to be said again. Nobody says more while the line is broken. */
const MOST_UNHEARD = 2_000;

/** Tells the server that we mean to come back over another line. */
const COMING_BACK = 4000;

export interface LineEvents {
  /** The server said something that is not about the line. */
  heard(message: ServerMessage, text: string): void;
  /** The server knows us by this, from now on. */
  session(token: string): void;
  /** The line broke. It comes back by itself, or tells that it is lost. */
  broke(): void;
  /** The line is back, and what was missed follows. */
  back(hasMedia: boolean): void;
  /** There is no way back into the place that we had. */
  lost(): void;
}

/** A join that shows an invite to the server: the membership knows of none. */
export function withInvite(join: string, invite: string | undefined): string {
  if (invite === undefined) return join;
  const message = JSON.parse(join) as Extract<ClientMessage, { type: "join" }>;
  return JSON.stringify({ ...message, invite });
}

type State = "opening" | "open" | "broken" | "over";

/** What we say, and what the server says, as it travels. */
type Numbered = ClientMessage & { readonly number: MessageNumber };
type Positioned = ServerMessage & { readonly at?: Position };

interface Unheard {
  readonly number: number;
  readonly text: string;
}

export class Line {
  readonly #url: string;
  /** The first message of the first connection. */
  readonly #join: string;
  readonly #version: number;
  readonly #events: LineEvents;
  #state: State = "opening";
  #socket: WebSocket | undefined;
  #session: { readonly token: string; readonly keptForMs: number } | undefined;
  #seen = 0;
  #number = 0;
  #unheard: readonly Unheard[] = [];
  /** The last that cannot be said again though the server may not have kept it. */
  #discarded = 0;
  #brokenAt = 0;
  #attempt = 0;
  #heardAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, join: string, events: LineEvents) {
    this.#url = url;
    this.#join = join;
    this.#version = (JSON.parse(join) as Extract<ClientMessage, { type: "join" }>).version;
    this.#events = events;
    this.#dial(() => {
      this.#write({ type: "keep_session" });
    });
  }

  get isBroken(): boolean {
    return this.#state === "broken";
  }

  /** Says something to the room, now or when the line is back. */
  say(message: ClientMessage): void {
    if (this.#state === "over") return;
    this.#number += 1;
    const numbered: Numbered = { ...message, number: this.#number };
    const text = JSON.stringify(numbered);
    if (this.#unheard.length >= MOST_UNHEARD) {
      if (this.#state !== "open") {
        this.#lose();
        return;
      }
      // The server hears us but keeps nothing: its disk may be full. The call goes on.
      this.#discarded = this.#unheard[0]?.number ?? this.#discarded;
      this.#unheard = this.#unheard.slice(1);
    }
    this.#unheard = [...this.#unheard, { number: this.#number, text }];
    if (this.#state === "open") this.#socket?.send(text);
  }

  /** Says something that is of no use later, such as an offer. */
  post(message: ClientMessage): void {
    if (this.#state === "open") this.#write(message);
  }

  /** Something suggests that the line may not stand any more, or that it could again. */
  check(): void {
    if (this.#state === "open") this.#probe(DOUBT_MS);
    // What is being dialled may wait for packets that are lost.
    if (this.#state === "broken") this.#redial(0);
  }

  end(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    clearTimeout(this.#timer);
    this.#drop(1000);
  }

  /** Connects, says who we are, and then what else is to be said first. */
  #dial(greet: () => void): void {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    const isCurrent = () => this.#socket === socket && this.#state !== "over";
    const late = setTimeout(() => isCurrent() && this.#break(), this.#patience());
    socket.onopen = () => {
      clearTimeout(late);
      if (!isCurrent()) return;
      if (this.#session) {
        this.#resume(this.#session.token);
        this.#after(ANSWER_MS, () => this.#break());
      } else {
        socket.send(this.#join);
        this.#open();
      }
      greet();
    };
    socket.onmessage = ({ data }) => {
      if (isCurrent() && typeof data === "string") this.#hear(data);
    };
    socket.onclose = () => {
      clearTimeout(late);
      if (isCurrent()) this.#break();
    };
  }

  /** How long a connection may take to come about. */
  #patience(): number {
    if (!this.#session) return FIRST_DIAL_MS;
    const attempt = Math.max(0, this.#attempt - 1);
    return DIAL_MS[Math.min(attempt, DIAL_MS.length - 1)] ?? FIRST_DIAL_MS;
  }

  #resume(token: string): void {
    this.#write({ type: "resume", version: this.#version, token, seen: this.#seen });
  }

  #open(): void {
    this.#state = "open";
    this.#attempt = 0;
    this.#heardAt = performance.now();
    this.#watch();
  }

  #write(message: ClientMessage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #hear(text: string): void {
    this.#heardAt = performance.now();
    const { at, ...message } = JSON.parse(text) as Positioned;
    if (at !== undefined) this.#seen = at;
    switch (message.type) {
      case "session":
        this.#session = { token: message.token, keptForMs: message.kept_for * 1_000 };
        this.#events.session(message.token);
        break;
      case "resumed":
        if (message.heard < this.#discarded) {
          this.#lose();
          return;
        }
        this.#forget(message.heard);
        for (const { text } of this.#unheard) this.#socket?.send(text);
        this.#open();
        this.#events.back(message.has_media);
        break;
      case "heard":
        this.#forget(message.number);
        break;
      case "here":
        break;
      case "error":
        if (message.code === "session_lost") this.#lose();
        // The connection ends, the place stays.
        else if (!this.#session || !breaksOnly(message)) this.#events.heard(message, text);
        break;
      default:
        this.#events.heard(message, text);
    }
  }

  /** The server has this, and keeps it. */
  #forget(upTo: number): void {
    this.#unheard = this.#unheard.filter(({ number }) => number > upTo);
  }

  /** Asks now and then whether the line still stands, if it says nothing by itself. */
  #watch(): void {
    const due = performance.now() + QUIET_MS;
    this.#after(QUIET_MS, () => {
      const now = performance.now();
      // After a sleep nothing that was heard before says anything.
      const slept = now - due > SLEPT_MS;
      if (!slept && now - this.#heardAt < QUIET_MS) this.#watch();
      else this.#probe(slept ? DOUBT_MS : PROBE_MS);
    });
  }

  #probe(patience: number, isSecond = false): void {
    const asked = performance.now();
    this.#write({ type: "probe" });
    this.#after(patience, () => {
      const heldUp = performance.now() - asked > patience + HELD_UP_MS;
      if (this.#heardAt > asked) this.#watch();
      else if (heldUp && !isSecond) this.#probe(patience, true);
      else this.#break();
    });
  }

  #break(): void {
    this.#drop(COMING_BACK);
    if (!this.#session) {
      this.#lose();
      return;
    }
    if (this.#state !== "broken") {
      this.#state = "broken";
      this.#brokenAt = performance.now();
      this.#events.broke();
    }
    if (performance.now() - this.#brokenAt > this.#session.keptForMs) {
      this.#lose();
      return;
    }
    const pause = PAUSES_MS[Math.min(this.#attempt, PAUSES_MS.length - 1)] ?? 0;
    this.#attempt += 1;
    // Not everybody at once, when a server comes back.
    this.#redial(pause * (0.5 + Math.random()));
  }

  #redial(wait: number): void {
    this.#after(wait, () => {
      this.#drop(COMING_BACK);
      this.#dial(() => {});
    });
  }

  /** There is one thing to wait for at a time. */
  #after(wait: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#state !== "over") then();
    }, wait);
  }

  #lose(): void {
    if (this.#state === "over") return;
    this.end();
    this.#events.lost();
  }

  #drop(code: number): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    // Also what has not come about yet.
    socket.close(code);
  }
}

function breaksOnly({ code }: Extract<ServerMessage, { type: "error" }>): boolean {
  return code === "shutting_down" || code === "too_slow" || code === "replaced";
}
