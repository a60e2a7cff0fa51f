/**
 * One call, from the moment somebody presses "Join": the line to the server, the membership,
 * the peer connection, and what of all that the page shows.
 */
import { batch, computed, effect, signal } from "@preact/signals";
import type { FramesEvent, PageMessage, PageOutput, SessionEvent } from "../crypto/messages";
import type { ControlNotice } from "../protocol/ControlNotice";
import type { ErrorCode } from "../protocol/ErrorCode";
import type { Member } from "../protocol/Member";
import type { Publication } from "../protocol/Publication";
import type { SlotFilling } from "../protocol/SlotFilling";
import type { Source } from "../protocol/Source";
import { backoff } from "./backoff";
import { type BoundSlot, pictures, refilled, speaking } from "./binding";
import { Chat } from "./chat";
import type { Devices } from "./devices";
import { type Ending, type OwnTrouble, reactionTo } from "./ending";
import type { Link } from "./link";
import { Notices } from "./notices";
import { Peer } from "./peer";
import { rosterChange } from "./roster";
import { setStage, type TileSize, wishes } from "./stage";
import { type CallStats, collectStats } from "./stats";
import { Workers } from "./workers";

export type Phase = "joining" | "live" | "reconnecting" | "ended";

/** How long an answer may take before the line counts as dead. */
const ANSWER_TIMEOUT_MS = 10_000;
/** How often a first join is tried before the person hears about it. */
const FIRST_ATTEMPTS = 4;
/** After so many connections that did not come about the person is told. */
const PATIENCE_WITH_MEDIA = 2;
const WATCH_INTERVAL_MS = 250;
const WISH_INTERVAL_MS = 250;
/** Sound that opened this recently is being heard. */
const HEARD_MS = 1_200;
/** A camera that has been still for this long has stopped, whatever the server says. */
const STALLED_MS = 4_000;

export class Call {
  readonly phase = signal<Phase>("joining");
  readonly ending = signal<Ending | undefined>(undefined);
  readonly roster = signal<readonly Member[]>([]);
  /** The epoch that our frames are sealed with; none while nothing of ours may leave. */
  readonly epoch = signal<number | undefined>(undefined);
  readonly publications = signal<readonly Publication[]>([]);
  readonly speakers = signal<ReadonlySet<number>>(new Set());
  readonly stalled = signal<ReadonlySet<string>>(new Set());
  readonly pinned = signal<string | undefined>(undefined);
  readonly peer = signal<Peer | undefined>(undefined);
  readonly chat = new Chat();
  readonly notices = new Notices();

  readonly self = computed(() => this.roster.value.find((member) => member.is_self));
  readonly stage = computed(() =>
    setStage(
      this.roster.value,
      pictures(this.#bound.value, this.#filledSlots.value, this.roster.value),
      this.#lastSpoke.value,
      this.pinned.value,
      this.devices.screen.value !== null,
    ),
  );

  readonly #bound = signal<readonly BoundSlot[]>([]);
  readonly #fillings = signal<readonly SlotFilling[]>([]);
  readonly #filledSlots = computed(() => {
    const peer = this.peer.value;
    const keys = this.#fillings.value.map(({ mid }) => peer?.slotAt(mid)?.key);
    return new Set(keys.filter((key) => key !== undefined));
  });
  readonly #lastSpoke = signal<ReadonlyMap<number, number>>(new Map());
  readonly #sizes = signal<ReadonlyMap<string, TileSize>>(new Map());
  readonly #controlReady = signal(false);

  readonly #workers: Workers;
  #namedSpeakers: readonly string[] = [];
  #attempt = 0;
  /** What the server said before it hung up. */
  #lastError: ErrorCode | undefined;
  #everLive = false;
  #redialTimer: ReturnType<typeof setTimeout> | undefined;
  #mediaTimer: ReturnType<typeof setTimeout> | undefined;
  #mediaAttempt = 0;
  #answerTimer: ReturnType<typeof setTimeout> | undefined;
  #wishTimer: ReturnType<typeof setTimeout> | undefined;
  #lastWishes = "";
  readonly #joinedAt = performance.now();
  #firstFrameAt: number | undefined;
  readonly #stop: (() => void)[] = [];

  constructor(
    readonly link: Link,
    readonly name: string,
    readonly devices: Devices,
  ) {
    this.#workers = new Workers({
      session: (event) => this.#onSession(event),
      frames: (event) => this.#onFrames(event),
    });
    this.#stop.push(
      this.#sendTracks(),
      effect(() => this.#publish(this.peer.value, this.#controlReady.value)),
      effect(() => this.#wish()),
    );
    const watch = setInterval(() => void this.#watch(), WATCH_INTERVAL_MS);
    const online = () => this.#redialTimer !== undefined && this.#dial();
    const hidden = () => this.#workers.tellSession({ type: "leave" });
    addEventListener("online", online);
    addEventListener("pagehide", hidden);
    this.#stop.push(() => {
      clearInterval(watch);
      removeEventListener("online", online);
      removeEventListener("pagehide", hidden);
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
    this.#dial();
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

  /** A tile was laid out at this size, or is gone. */
  measured(key: string, size: TileSize | undefined): void {
    const sizes = new Map(this.#sizes.value);
    if (size) sizes.set(key, size);
    else sizes.delete(key);
    this.#sizes.value = sizes;
  }

  /** There is a picture of somebody else. */
  frameShown(): void {
    this.#firstFrameAt ??= performance.now();
  }

  async stats(): Promise<CallStats> {
    const { peer, stage, roster } = this;
    return collectStats({
      phase: this.phase.value,
      members: roster.value.length,
      joinToFirstFrameMs:
        this.#firstFrameAt === undefined ? null : Math.round(this.#firstFrameAt - this.#joinedAt),
      roster: roster.value,
      tiles: [...stage.value.spotlight, ...stage.value.rest],
      frames: await this.#workers.report(),
      video: (await peer.value?.inboundVideo()) ?? new Map(),
      connection: peer.value?.state ?? null,
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
      room: this.link.room,
      secret: this.link.secret,
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

  /** Nothing of the last connection is true any more. */
  #hangUp(): void {
    this.#workers.tellSession({ type: "leave" });
    clearTimeout(this.#answerTimer);
    clearTimeout(this.#mediaTimer);
    this.#mediaTimer = undefined;
    this.peer.value?.close();
    batch(() => {
      this.peer.value = undefined;
      this.epoch.value = undefined;
      this.roster.value = [];
      this.publications.value = [];
      this.speakers.value = new Set();
      this.#forgetSlots();
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
      case "closed":
        this.#redial();
        break;
      case "chat_refused":
        this.notices.say("warning", "Your message could not be sent. Try again in a moment.");
        break;
      case "broken":
        this.#fail("broken", event.detail);
        break;
    }
  }

  #onServer(message: PageMessage): void {
    switch (message.type) {
      case "joined":
        void this.#connectMedia();
        break;
      case "answer":
        clearTimeout(this.#answerTimer);
        this.peer.value?.accept(message.sdp).catch(() => this.#redial());
        break;
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
        this.#renewMedia();
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
        this.#onRoster(output.members);
        break;
      case "joined":
        if (this.phase.value === "reconnecting") this.notices.say("info", "You are back.");
        this.phase.value = "live";
        this.#everLive = true;
        this.#attempt = 0;
        break;
      case "chat": {
        const self = this.self.value?.leaf === output.leaf;
        this.chat.add({ name: output.name, text: output.text, self, at: Date.now() });
        break;
      }
      case "commit_refused":
        this.notices.say(
          "warning",
          "Someone tried to change who is in this call in a way that is not allowed. It was refused.",
        );
        break;
      case "failed":
        this.#redial();
        break;
      default:
    }
  }

  #onRoster(members: readonly Member[]): void {
    const before = this.roster.value;
    this.roster.value = members;
    // Those who were there before us did not just join.
    if (!before.some((member) => member.is_self) || this.phase.value !== "live") return;
    const { joined, left } = rosterChange(before, members);
    for (const { name } of joined) this.notices.say("joined", `${name} joined`);
    for (const { name } of left) this.notices.say("left", `${name} left`);
  }

  // --- Media ----------------------------------------------------------------------------

  async #connectMedia(): Promise<void> {
    this.peer.value?.close();
    const peer = new Peer(this.#workers, {
      notice: (notice) => this.peer.value === peer && this.#onNotice(notice),
      ready: () => {
        if (this.peer.value !== peer) return;
        this.#controlReady.value = true;
        this.#mediaAttempt = 0;
      },
      lost: () => {
        if (this.peer.value === peer) this.#renewMedia();
      },
    });
    batch(() => {
      this.#forgetSlots();
      this.peer.value = peer;
    });
    clearTimeout(this.#answerTimer);
    this.#answerTimer = setTimeout(() => this.#redial(), ANSWER_TIMEOUT_MS);
    try {
      const offer = await peer.offer();
      if (this.peer.value === peer) this.#workers.tellSession({ type: "offer", offer });
    } catch (error) {
      this.#fail("broken", String(error));
    }
  }

  /** Another connection for media, on the same line: soon, but not over and over at once. */
  #renewMedia(): void {
    if (this.#mediaTimer !== undefined) return;
    if (this.#mediaAttempt === PATIENCE_WITH_MEDIA) {
      this.notices.say(
        "warning",
        "Sound and pictures do not get through. A firewall may block them (UDP).",
      );
    }
    const wait = backoff(this.#mediaAttempt, Math.random());
    this.#mediaAttempt += 1;
    this.#mediaTimer = setTimeout(() => {
      this.#mediaTimer = undefined;
      void this.#connectMedia();
    }, wait);
  }

  #forgetSlots(): void {
    this.#controlReady.value = false;
    this.#bound.value = [];
    this.#fillings.value = [];
    this.stalled.value = new Set();
    this.#namedSpeakers = [];
    this.#lastWishes = "";
  }

  /** Tracks are on their senders only while there is a key to seal their frames with. */
  #sendTracks(): () => void {
    const sent: Record<Source, () => MediaStreamTrack | null> = {
      microphone: () => this.devices.sentMicrophone.value,
      camera: () => this.devices.sentCamera.value,
      screen: () => this.devices.screen.value?.picture ?? null,
      screen_sound: () => this.devices.screen.value?.sound ?? null,
    };
    const stops = (Object.keys(sent) as Source[]).map((source) =>
      effect(() => {
        const track = this.epoch.value === undefined ? null : sent[source]();
        this.peer.value?.send(source, track).catch(() => {
          this.notices.say("warning", "A device could not be sent to the others. Choose it again.");
        });
      }),
    );
    return () => {
      for (const stop of stops) stop();
    };
  }

  #publish(peer: Peer | undefined, ready: boolean): void {
    const { sentMicrophone, sentCamera, screen } = this.devices;
    const sources: Source[] = [];
    if (sentMicrophone.value) sources.push("microphone");
    if (sentCamera.value) sources.push("camera");
    if (screen.value) sources.push("screen");
    if (screen.value?.sound) sources.push("screen_sound");
    if (ready) peer?.ask({ type: "publishing", sources });
  }

  #onNotice(notice: ControlNotice): void {
    switch (notice.type) {
      case "slots":
        this.#onSlots(notice.slots);
        break;
      case "publications":
        this.publications.value = notice.participants;
        break;
      case "speakers":
        this.#namedSpeakers = notice.participants;
        break;
      case "refused":
        console.warn("the media server refused a request:", notice.detail);
        break;
    }
  }

  #onSlots(slots: readonly SlotFilling[]): void {
    const stale = refilled(this.#fillings.value, slots)
      .map(({ mid }) => this.peer.value?.slotAt(mid)?.key)
      .filter((key) => key !== undefined);
    for (const slot of stale) this.#workers.tellFrames({ type: "unbind", slot });
    batch(() => {
      this.#bound.value = this.#bound.value.filter(({ key }) => !stale.includes(key));
      this.#fillings.value = slots;
    });
  }

  #onFrames(event: Exclude<FramesEvent, { type: "report" }>): void {
    switch (event.type) {
      case "sealing":
        this.epoch.value = event.epoch;
        break;
      case "bound": {
        const slot = this.peer.value?.slots.find(({ key }) => key === event.slot);
        if (!slot || this.peer.value?.number !== event.peer) return;
        const { key, accepts } = slot;
        const others = this.#bound.value.filter((bound) => bound.key !== key);
        this.#bound.value = [...others, { key, accepts, leaf: event.leaf }];
        break;
      }
      case "broken":
        this.#fail("broken", event.detail);
        break;
    }
  }

  /** Asks for what the stage shows: at most once in an interval, and only what changed. */
  #wish(): void {
    const { peer, stage, roster, publications } = this;
    const sharers = publications.value
      .filter(({ sources }) => sources.includes("screen"))
      .map(({ participant }) => participant);
    const videos = wishes(stage.value, roster.value, new Set(sharers), this.#sizes.value);
    const text = JSON.stringify(videos);
    clearTimeout(this.#wishTimer);
    const to = peer.value;
    if (!to || !this.#controlReady.value || text === this.#lastWishes) return;
    this.#wishTimer = setTimeout(() => {
      this.#lastWishes = text;
      to.ask({ type: "wishes", videos });
    }, WISH_INTERVAL_MS);
  }

  async #watch(): Promise<void> {
    await this.#awaitFirstFrame();
    const report = this.phase.value === "live" ? await this.#workers.report() : undefined;
    if (!report) return;
    const recent = (limit: number) => (slot: { idleMs: number | null }) =>
      slot.idleMs !== null && slot.idleMs < limit;
    const heard = report.incoming
      .filter(({ accepts }) => accepts === "microphone")
      .filter(recent(HEARD_MS))
      .map(({ leaf }) => leaf)
      .filter((leaf) => leaf !== null);
    const still = report.incoming
      .filter(({ accepts, idleMs }) => accepts === "camera" && idleMs !== null)
      .filter((slot) => !recent(STALLED_MS)(slot));
    const now = speaking(this.#namedSpeakers, new Set(heard), this.roster.value);
    batch(() => {
      if (!sameSet(now, this.speakers.value)) this.#spoke(now);
      const stalled = new Set(still.map(({ slot }) => slot));
      if (!sameSet(stalled, this.stalled.value)) this.stalled.value = stalled;
    });
  }

  /** A busy page draws late: what counts is that a picture was decoded. */
  async #awaitFirstFrame(): Promise<void> {
    if (this.#firstFrameAt !== undefined || this.#bound.value.length === 0) return;
    const videos = await this.peer.value?.inboundVideo();
    const decoded = [...(videos?.values() ?? [])].some(
      ({ framesDecoded = 0 }) => framesDecoded > 0,
    );
    if (decoded) this.frameShown();
  }

  #spoke(leaves: ReadonlySet<number>): void {
    const last = new Map(this.#lastSpoke.value);
    for (const leaf of leaves) last.set(leaf, performance.now());
    this.speakers.value = leaves;
    this.#lastSpoke.value = last;
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
    for (const stop of this.#stop) stop();
    clearTimeout(this.#redialTimer);
    clearTimeout(this.#wishTimer);
    this.devices.close();
    // The worker needs a moment to say goodbye to the server.
    setTimeout(() => this.#workers.end(), 500);
  }
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  return a.size === b.size && [...a].every((item) => b.has(item));
}
