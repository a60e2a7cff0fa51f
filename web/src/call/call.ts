/**
 * One call, from the moment somebody presses "Join" to its end: the line to the server, who is
 * in the group, and what the page shows of that. Sound and pictures are in `media.ts`.
 */
import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { vacated } from "../crypto/holders";
import type { FramesEvent, PageMessage, PageOutput, SessionEvent } from "../crypto/messages";
import { Files } from "../files/files";
import { People } from "../people/people";
import { browserStore } from "../people/store";
import type { ErrorCode } from "../protocol/ErrorCode";
import type { Member } from "../protocol/Member";
import { backoff } from "./backoff";
import { Chat } from "./chat";
import type { Devices } from "./devices";
import { type Ending, type OwnTrouble, reactionTo } from "./ending";
import { Hosting } from "./hosting";
import { type Link, pathOf, toShare } from "./link";
import { Media } from "./media";
import { Notices } from "./notices";
import { rosterChange } from "./roster";
import { type CallStats, collectStats } from "./stats";
import { Workers } from "./workers";

export type Phase = "joining" | "waiting" | "live" | "reconnecting" | "ended";

/** How often a first join is tried before the person hears about it. */
const FIRST_ATTEMPTS = 4;
const WATCH_INTERVAL_MS = 250;

export class Call {
  readonly phase = signal<Phase>("joining");
  readonly ending = signal<Ending | undefined>(undefined);
  readonly roster = signal<readonly Member[]>([]);
  /** Digits that everyone in the call sees alike, until somebody comes or goes. */
  readonly callCode = signal<string | undefined>(undefined);
  /** False when this browser cannot keep its key: the next call will see another device. */
  readonly deviceLasts = signal(true);
  /** The line to the server is broken, and comes back by itself. */
  readonly lineBroken = signal(false);
  /** Those whose lines are broken, by the server's word. */
  readonly away = signal<ReadonlySet<string>>(new Set());
  /** The epoch that our frames are sealed with; none while nothing of ours may leave. */
  readonly epoch = signal<number | undefined>(undefined);
  readonly chat = new Chat();
  readonly notices = new Notices();

  readonly self = computed(() => this.roster.value.find((member) => member.is_self));
  readonly hosting = new Hosting(this.roster, (request) =>
    this.#workers.tellSession({ type: "host", request }),
  );
  readonly people = new People(this.roster, browserStore());
  readonly media: Media;
  readonly files: Files;

  readonly #workers: Workers;
  #attempt = 0;
  /** What the server said before it hung up. */
  #lastError: ErrorCode | undefined;
  #everLive = false;
  #redialTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #joinedAt = performance.now();
  #firstFrameAt: number | undefined;
  readonly #stop: (() => void)[] = [];

  /** A host may change it while the call goes on. */
  readonly link: Signal<Link>;
  readonly address: ReadonlySignal<string>;

  constructor(
    link: Link,
    readonly name: string,
    readonly devices: Devices,
  ) {
    this.link = signal(link);
    this.address = computed(() => location.origin + pathOf(toShare(this.link.value)));
    this.#workers = new Workers({
      session: (event) => this.#onSession(event),
      frames: (event) => this.#onFrames(event),
    });
    this.files = new Files(link.room, (file) =>
      this.#workers.tellSession({ type: "share_file", file }),
    );
    this.media = new Media(this, devices, this.#workers, {
      offer: (offer) => this.#workers.tellSession({ type: "offer", offer }),
      unanswered: () => this.#redial(),
      faltered: () => this.#checkLine(),
      trouble: (text) => this.notices.say("warning", text),
      broken: (detail) => this.#fail("broken", detail),
    });
    const watch = setInterval(() => void this.#watch(), WATCH_INTERVAL_MS);
    const online = () => {
      if (this.#redialTimer !== undefined) this.#dial();
      else this.#checkLine();
    };
    const seen = () => document.visibilityState === "visible" && this.#checkLine();
    const hidden = () => this.#workers.tellSession({ type: "leave" });
    addEventListener("online", online);
    addEventListener("pagehide", hidden);
    addEventListener("offline", online);
    document.addEventListener("visibilitychange", seen);
    this.#stop.push(() => {
      clearInterval(watch);
      removeEventListener("online", online);
      removeEventListener("pagehide", hidden);
      removeEventListener("offline", online);
      document.removeEventListener("visibilitychange", seen);
      this.people.close();
      this.files.end();
    });
    void this.#begin();
  }

  async #begin(): Promise<void> {
    try {
      await this.#workers.start();
    } catch (error) {
      this.#fail("module", String(error));
      return;
    }
    if (this.phase.value !== "ended") this.#dial();
  }

  /** Leaves on purpose. */
  leave(): void {
    this.#end({ kind: "left" });
  }

  say(text: string): void {
    this.#workers.tellSession({ type: "chat", text });
  }

  async toggleScreen(): Promise<void> {
    if (this.devices.screen.value) this.devices.stopScreen();
    else await this.devices.shareScreen();
  }

  /** There is a picture of somebody else. */
  frameShown(): void {
    this.#firstFrameAt ??= performance.now();
  }

  async stats(): Promise<CallStats> {
    const { spotlight, rest } = this.media.stage.value;
    return collectStats({
      phase: this.phase.value,
      connection: this.media.peer.value?.state ?? null,
      members: this.roster.value.length,
      joinToFirstFrameMs:
        this.#firstFrameAt === undefined ? null : Math.round(this.#firstFrameAt - this.#joinedAt),
      roster: this.roster.value,
      tiles: [...spotlight, ...rest],
      keys: this.media.keys.value,
      frames: await this.#workers.report(),
      video: await this.media.inboundVideo(),
    });
  }

  // --- The line to the server -----------------------------------------------------------

  #dial(): void {
    clearTimeout(this.#redialTimer);
    this.#redialTimer = undefined;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.#workers.tellSession({
      type: "join",
      url: `${scheme}//${location.host}/ws`,
      room: this.link.value.room,
      secret: this.link.value.secret,
      invite: this.link.value.invite,
      name: this.name,
    });
  }

  #redial(): void {
    if (this.phase.value === "ended" || this.#redialTimer !== undefined) return;
    this.#hangUp();
    if (!this.#everLive && this.#attempt + 1 >= FIRST_ATTEMPTS) {
      this.#fail(this.#lastError ?? "unreachable", "");
      return;
    }
    if (this.#everLive) this.phase.value = "reconnecting";
    this.#redialTimer = setTimeout(() => this.#dial(), backoff(this.#attempt, Math.random()));
    this.#attempt += 1;
  }

  #checkLine(): void {
    this.#workers.tellSession({ type: "check" });
  }

  /** Nothing of the last membership is true any more. */
  #hangUp(): void {
    this.#workers.tellSession({ type: "leave" });
    this.media.drop();
    this.files.setLive(false);
    this.files.setToken(undefined);
    batch(() => {
      this.lineBroken.value = false;
      this.away.value = new Set();
      this.epoch.value = undefined;
      this.roster.value = [];
      this.callCode.value = undefined;
      this.hosting.forget();
    });
  }

  #onSession(event: SessionEvent): void {
    // What the last line had still to say does not concern the next one.
    if (this.phase.value === "ended" || this.#redialTimer !== undefined) return;
    switch (event.type) {
      case "server":
        this.#onServer(event.message);
        break;
      case "membership":
        this.#onMembership(event.output);
        break;
      case "device":
        this.deviceLasts.value = event.lasting;
        break;
      case "session":
        this.files.setToken(event.token);
        break;
      case "broke":
        this.lineBroken.value = true;
        this.media.lineBroke();
        break;
      case "back":
        this.lineBroken.value = false;
        this.media.lineIsBack(event.hasMedia);
        break;
      case "closed":
        this.#redial();
        break;
      case "chat_refused":
        this.notices.say("warning", "Your message could not be sent. Try again in a moment.");
        break;
      case "host_refused":
        this.notices.say("warning", `That could not be done: ${event.reason || "try again"}.`);
        break;
      case "link":
        this.#takeLink(event.secret);
        break;
      case "broken":
        this.#fail("broken", event.detail);
        break;
    }
  }

  #onServer(message: PageMessage): void {
    switch (message.type) {
      case "joined":
        void this.media.connect();
        break;
      case "answer":
        this.media.accept(message.sdp);
        break;
      case "participant_away":
      case "participant_back": {
        const away = new Set(this.away.value);
        if (message.type === "participant_away") away.add(message.participant);
        else away.delete(message.participant);
        this.away.value = away;
        break;
      }
      case "stranger_refused":
        this.notices.say(
          "warning",
          "Someone without the right link tried to join and was turned away.",
        );
        break;
      case "error":
        this.#onError(message);
        break;
    }
  }

  #onError({ code, detail }: Extract<PageMessage, { type: "error" }>): void {
    switch (reactionTo(code)) {
      case "end":
        this.#fail(code, detail);
        break;
      case "rejoin":
        this.#lastError = code;
        this.#redial();
        break;
      case "renew_media":
        if (this.phase.value !== "waiting") this.media.renew();
        break;
      case "tell":
        this.notices.say("warning", "That was too fast for the server. Wait a moment.");
        break;
      case "ignore":
        break;
    }
  }

  // --- The membership -------------------------------------------------------------------

  #onMembership(output: PageOutput): void {
    switch (output.type) {
      case "roster":
        this.callCode.value = output.call_code;
        this.hosting.door.value = output.door;
        this.#onRoster(output.members);
        break;
      case "joined":
        if (this.phase.value === "reconnecting") this.notices.say("info", "You are back.");
        if (this.phase.value === "waiting") void this.media.connect();
        this.phase.value = "live";
        this.#everLive = true;
        this.#attempt = 0;
        this.files.setLive(true);
        break;
      case "chat": {
        const self = this.self.value?.leaf === output.leaf;
        this.chat.add({ name: output.name, text: output.text, self, at: Date.now() });
        break;
      }
      case "file": {
        const self = this.self.value?.leaf === output.leaf;
        const { name, file } = output;
        // It is announced again when that is slow to come back.
        if (this.chat.lines.value.some((line) => line.file?.id === file.id)) break;
        this.chat.add({ name, text: "", file, self, at: Date.now() });
        this.files.announced(file, self);
        break;
      }
      case "outsiders":
        this.notices.say(
          "warning",
          "Somebody has been trying to join for a while. If the others already see them, the server keeps changes from you: compare the call code.",
        );
        break;
      case "commit_refused":
        this.notices.say(
          "warning",
          "Someone tried to change who is in this call in a way that is not allowed. It was refused.",
        );
        break;
      case "waiting":
        // Nothing could be opened before a host has decided, and that may take long.
        this.media.drop();
        this.phase.value = "waiting";
        break;
      case "lobby":
        this.hosting.waiting.value = output.waiting;
        break;
      case "mute_asked":
        void this.devices.setMicrophone(false);
        this.notices.say("info", `${output.by} muted you.`);
        break;
      case "failed":
        if (output.prospect === "retry") this.#redial();
        else if (output.prospect === "another_call") this.#fail("another_call", output.reason);
        else this.#end({ kind: "decided", reason: output.reason });
        break;
      default:
    }
  }

  #onRoster(members: readonly Member[]): void {
    const before = this.roster.value;
    const leaves = vacated(before, members);
    batch(() => {
      this.roster.value = members;
      if (leaves.length > 0) this.media.vacate(leaves);
    });
    // Those who were there before us did not just join.
    if (!before.some((member) => member.is_self) || this.phase.value !== "live") return;
    const { joined, left } = rosterChange(before, members);
    for (const { name } of joined) this.notices.say("joined", `${name} joined`);
    for (const { name } of left) this.notices.say("left", `${name} left`);
  }

  /** From now on the page's address is the new link, for copying and for reloading. */
  #takeLink(secret: string): void {
    this.link.value = { ...this.link.value, secret };
    history.replaceState(history.state, "", pathOf(this.link.value));
    this.notices.say("info", "A host changed the link. The old one no longer opens this call.");
  }

  #onFrames(event: FramesEvent): void {
    switch (event.type) {
      case "sealing":
        this.epoch.value = event.epoch;
        break;
      case "bound":
        this.media.bind(event);
        break;
      case "broken":
        this.#fail("broken", event.detail);
        break;
    }
  }

  async #watch(): Promise<void> {
    if (this.phase.value !== "live") return;
    await this.#awaitFirstFrame();
    const report = await this.#workers.report();
    if (report && this.phase.value === "live") this.media.observe(report);
  }

  /** A busy page draws late: what counts is that a picture was decoded. */
  async #awaitFirstFrame(): Promise<void> {
    if (this.#firstFrameAt !== undefined || !this.media.receives) return;
    const videos = await this.media.inboundVideo();
    if ([...videos.values()].some(({ framesDecoded = 0 }) => framesDecoded > 0)) this.frameShown();
  }

  // --- The end --------------------------------------------------------------------------

  #fail(code: Extract<Ending, { kind: "trouble" }>["code"] | OwnTrouble, detail: string): void {
    this.#end({ kind: "trouble", code, detail });
  }

  #end(ending: Ending): void {
    if (this.phase.value === "ended") return;
    this.#hangUp();
    this.phase.value = "ended";
    this.ending.value = ending;
    this.media.close();
    for (const stop of this.#stop) stop();
    clearTimeout(this.#redialTimer);
    this.devices.close();
    // The worker needs a moment to say goodbye to the server.
    setTimeout(() => this.#workers.end(), 500);
  }
}
