/**
 * Sound and pictures of a call: the connection to the media server, who is in which of its
 * slots, and what is asked of it. It lives as long as the call; connections come and go.
 */
import { batch, computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import { blocked, SILENT_AFTER_MS, type SlotKeys, slotKeys } from "../crypto/keystate";
import type { FramesEvent, FramesReport } from "../crypto/messages";
import type { ClientMessage } from "../protocol/ClientMessage";
import type { ControlNotice } from "../protocol/ControlNotice";
import type { Member } from "../protocol/Member";
import type { Publication } from "../protocol/Publication";
import type { SlotFilling } from "../protocol/SlotFilling";
import type { Source } from "../protocol/Source";
import { backoff } from "./backoff";
import {
  type BoundSlot,
  type Picture,
  pausedPictures,
  pictures,
  publicationsAfter,
  refilled,
  speaking,
} from "./binding";
import type { Devices } from "./devices";
import { PAGE_SIZES, type PageSize, slotsFor, type View } from "./pages";
import { type InboundVideo, Peer } from "./peer";
import { loadSettings, saveSettings } from "./settings";
import { setStage, type TileSize, wishes } from "./stage";
import type { Workers } from "./workers";

/** How long an answer may take before the line to the server counts as dead. */
const ANSWER_TIMEOUT_MS = 10_000;
/** After so many connections that did not come about the person is told. */
const PATIENCE = 2;
const WISH_INTERVAL_MS = 250;
/** A connection that answers nothing for so long, after the line broke, is not believed in. */
const DOUBT_MS = 800;
/** Sound that opened this recently is being heard. */
const HEARD_MS = 1_200;
/**
 * What has been still for this long has stopped, whatever the server says. Browsers repeat the
 * frames of a screen on which nothing moves about once a second.
 */
const STALLED_MS = { camera: SILENT_AFTER_MS, screen: 8_000 } as const;

const NONE: readonly Picture[] = [];

export interface MediaEvents {
  /** To be posted to the server at once. */
  offer(offer: Extract<ClientMessage, { type: "offer" }>): void;
  /** The server did not answer. */
  unanswered(): void;
  /** Media has stopped flowing, perhaps for a moment. */
  faltered(): void;
  /** Something the person should know. */
  trouble(text: string): void;
  broken(detail: string): void;
}

/** What media needs to know of the group. */
export interface Group {
  readonly roster: ReadonlySignal<readonly Member[]>;
  /** The epoch that our frames are sealed with; none while nothing of ours may leave. */
  readonly epoch: ReadonlySignal<number | undefined>;
}

export class Media {
  readonly peer = signal<Peer | undefined>(undefined);
  readonly publications = signal<readonly Publication[]>([]);
  readonly speakers = signal<ReadonlySet<number>>(new Set());
  /** Slots in which nothing comes any more. */
  readonly stalled = signal<ReadonlySet<string>>(new Set());
  /** How it stands with the keys of what arrives. */
  readonly keys = signal<readonly SlotKeys[]>([]);
  /** The tile that the person wants to see large. */
  readonly pinned = signal<string | undefined>(undefined);
  /** How many tiles the person wants on a page at most. */
  readonly tiles = signal<PageSize>(loadSettings().tiles);
  /** The largest page for which the window has room. */
  readonly room = signal<PageSize>(PAGE_SIZES[0]);
  readonly paused = computed(() => pausedPictures(this.#filled.value, this.#group.roster.value));
  readonly stage = computed(() => {
    const roster = this.#group.roster.value;
    const moving = this.#bound.value.filter(
      // A camera that has stopped keeps its tile, without a picture; a screen has none left.
      ({ key, accepts }) => accepts !== "screen" || !this.stalled.value.has(key),
    );
    const shown = pictures(moving, this.#filled.value, roster);
    // What cannot be shown for want of a way or of keys has a tile that says so.
    const without = [...this.paused.value, ...this.#blocked.value];
    const screens = without.filter(
      ({ source, slot, leaf }) =>
        source === "screen" &&
        !shown.some(
          (other) => other.slot === slot || (other.source === source && other.leaf === leaf),
        ),
    );
    const sharing = this.#devices.screen.value !== null;
    return setStage(
      roster,
      [...shown, ...screens],
      this.#lastSpoke.value,
      this.pinned.value,
      sharing,
      this.#view.value,
    );
  });

  readonly #page = signal(0);
  readonly #view = computed((): View => {
    const slots = this.peer.value?.cameras ?? this.tiles.value;
    const size = Math.min(this.tiles.value, this.room.value, slots);
    return { size, page: this.#page.value };
  });
  readonly #bound = signal<readonly BoundSlot[]>([]);
  readonly #fillings = signal<readonly SlotFilling[]>([]);
  /** What the server put where, by the keys of slots. */
  readonly #filled = computed(() => {
    const filled = new Map<string, SlotFilling>();
    for (const filling of this.#fillings.value) {
      const slot = this.peer.value?.slotAt(filling.mid);
      if (slot) filled.set(slot.key, filling);
    }
    return filled;
  });
  /** By the server's word: no frame has said whose they are. */
  readonly #blocked = computed((): readonly Picture[] => {
    const screens = this.keys.value
      .filter(({ accepts, state }) => accepts === "screen" && blocked(state))
      .filter(({ slot }) => !this.#filled.value.get(slot)?.paused)
      .map(({ leaf, slot }): Picture => ({ leaf, source: "screen", slot }));
    // The very same when there are none: the stage is not set anew whenever a state changes.
    return screens.length > 0 ? screens : NONE;
  });
  readonly #lastSpoke = signal<ReadonlyMap<number, number>>(new Map());
  readonly #sizes = signal<ReadonlyMap<string, TileSize>>(new Map());
  readonly #controlReady = signal(false);

  readonly #group: Group;
  readonly #devices: Devices;
  readonly #workers: Workers;
  readonly #events: MediaEvents;
  readonly #stops: readonly (() => void)[];
  /** When each slot was last known to be paused: it cannot have stopped before that. */
  readonly #pausedUntil = new Map<string, number>();
  #namedSpeakers: readonly string[] = [];
  #attempt = 0;
  #renewTimer: ReturnType<typeof setTimeout> | undefined;
  #answerTimer: ReturnType<typeof setTimeout> | undefined;
  #wishTimer: ReturnType<typeof setTimeout> | undefined;
  #lastWishes = "";
  /** Called when the server answers a probe: one answer is for all that came before. */
  #probes: (() => void)[] = [];
  /** No offer can be posted. */
  #lineBroken = false;

  constructor(group: Group, devices: Devices, workers: Workers, events: MediaEvents) {
    this.#group = group;
    this.#devices = devices;
    this.#workers = workers;
    this.#events = events;
    this.#stops = [
      ...this.#sendTracks(),
      effect(() => this.#publish(this.peer.value, this.#controlReady.value)),
      effect(() => this.#wish()),
    ];
  }

  /** True once a picture of somebody else has its place. */
  get receives(): boolean {
    return this.#bound.value.length > 0;
  }

  /** Makes a connection, in place of the one there is. */
  async connect(): Promise<void> {
    this.peer.value?.close();
    const peer = new Peer(this.#workers, slotsFor(this.tiles.peek(), window.screen), {
      notice: (notice) => this.peer.value === peer && this.#onNotice(notice),
      ready: () => {
        if (this.peer.value !== peer) return;
        this.#controlReady.value = true;
        this.#attempt = 0;
      },
      faltered: () => this.peer.value === peer && this.#events.faltered(),
      lost: () => {
        if (this.peer.value === peer) this.renew();
      },
    });
    batch(() => {
      this.#forgetSlots();
      this.peer.value = peer;
    });
    clearTimeout(this.#answerTimer);
    this.#answerTimer = setTimeout(() => this.#events.unanswered(), ANSWER_TIMEOUT_MS);
    try {
      const offer = await peer.offer();
      if (this.peer.value === peer) this.#events.offer(offer);
    } catch (error) {
      this.#events.broken(String(error));
    }
  }

  accept(sdp: string): void {
    clearTimeout(this.#answerTimer);
    this.peer.value?.accept(sdp).catch(() => this.#events.unanswered());
  }

  /** Nothing can be agreed with the server for now. What flows goes on flowing. */
  lineBroke(): void {
    this.#lineBroken = true;
    clearTimeout(this.#answerTimer);
    clearTimeout(this.#renewTimer);
    this.#renewTimer = undefined;
  }

  /** Whatever broke the line may have broken the connection too: then another one, at once. */
  lineIsBack(hasMedia: boolean): void {
    this.#lineBroken = false;
    this.#attempt = 0;
    const peer = this.peer.value;
    if (!peer) return;
    if (hasMedia && peer.state === "connected") void this.#doubt(peer);
    else void this.connect();
  }

  /** Browsers take seconds to notice that what they send gets nowhere any more. */
  async #doubt(peer: Peer): Promise<void> {
    const answered = new Promise<boolean>((resolve) => {
      this.#probes.push(() => resolve(true));
      setTimeout(() => resolve(false), DOUBT_MS);
    });
    peer.ask({ type: "probe" });
    if (!(await answered) && this.peer.value === peer) void this.connect();
  }

  /** Another connection for media, on the same line: soon, but not over and over at once. */
  renew(): void {
    if (this.#renewTimer !== undefined || this.#lineBroken) return;
    if (this.#attempt === PATIENCE) {
      this.#events.trouble("Sound and pictures do not get through. A firewall may block them.");
    }
    const wait = backoff(this.#attempt, Math.random());
    this.#attempt += 1;
    this.#renewTimer = setTimeout(() => {
      this.#renewTimer = undefined;
      void this.connect();
    }, wait);
  }

  /** Nothing of the connection is true any more. */
  drop(): void {
    this.#lineBroken = false;
    clearTimeout(this.#answerTimer);
    clearTimeout(this.#renewTimer);
    clearTimeout(this.#wishTimer);
    this.#renewTimer = undefined;
    this.peer.value?.close();
    batch(() => {
      this.peer.value = undefined;
      this.publications.value = [];
      this.speakers.value = new Set();
      this.#forgetSlots();
    });
  }

  close(): void {
    this.drop();
    for (const stop of this.#stops) stop();
  }

  /** The first frame of someone new opened in a slot. */
  bind(event: Extract<FramesEvent, { type: "bound" }>): void {
    const slot = this.peer.value?.slots.find(({ key }) => key === event.slot);
    if (!slot || this.peer.value?.number !== event.peer) return;
    const { key, accepts } = slot;
    const others = this.#bound.value.filter((bound) => bound.key !== key);
    this.#bound.value = [...others, { key, accepts, holder: event.holder }];
  }

  /**
   * Whoever comes to these leaves next takes over nothing of those who had them. Not their pictures
   * either, but those know whose they are.
   */
  vacate(leaves: readonly number[]): void {
    const gone = new Set(leaves);
    const stays = (leaf: number) => !gone.has(leaf);
    batch(() => {
      this.#lastSpoke.value = new Map([...this.#lastSpoke.value].filter(([leaf]) => stays(leaf)));
      this.speakers.value = new Set([...this.speakers.value].filter(stays));
      this.keys.value = this.keys.value.filter(({ leaf }) => stays(leaf));
    });
  }

  /** Shows the next page of the others, or the one before. */
  turn(by: 1 | -1): void {
    const { at, of } = this.stage.peek().page;
    this.#page.value = Math.min(Math.max(at + by, 0), of - 1);
  }

  /** Changes how many tiles a page has at most. Slots for more take another connection. */
  chooseTiles(tiles: PageSize): void {
    saveSettings({ tiles });
    this.tiles.value = tiles;
    const peer = this.peer.peek();
    if (peer && peer.cameras < slotsFor(tiles, window.screen)) void this.connect();
  }

  /** A tile was laid out at this size, or is gone. */
  measured(key: string, size: TileSize | undefined): void {
    const sizes = new Map(this.#sizes.value);
    if (size) sizes.set(key, size);
    else sizes.delete(key);
    this.#sizes.value = sizes;
  }

  /** Draws conclusions from what the workers have counted. */
  observe(report: FramesReport): void {
    const recent = (limit: number) => (slot: { idleMs: number | null }) =>
      slot.idleMs !== null && slot.idleMs < limit;
    const heard = report.incoming
      .filter(({ accepts }) => accepts === "microphone")
      .filter(recent(HEARD_MS))
      .map(({ holder }) => holder)
      .filter((holder) => holder !== null);
    const now = performance.now();
    const still = report.incoming.filter(({ slot, accepts, idleMs }) => {
      if ((accepts !== "camera" && accepts !== "screen") || idleMs === null) return false;
      if (this.#filled.value.get(slot)?.paused) this.#pausedUntil.set(slot, now);
      const sincePause = now - (this.#pausedUntil.get(slot) ?? Number.NEGATIVE_INFINITY);
      return Math.min(idleMs, sincePause) > STALLED_MS[accepts];
    });
    const { incoming, newest } = report;
    const keys = slotKeys(incoming, newest, this.#filled.value, this.#group.roster.value);
    const speakers = speaking(this.#namedSpeakers, heard, this.#group.roster.value);
    batch(() => {
      if (!sameSet(speakers, this.speakers.value)) this.#spoke(speakers);
      const stalled = new Set(still.map(({ slot }) => slot));
      if (!sameSet(stalled, this.stalled.value)) this.stalled.value = stalled;
      if (JSON.stringify(keys) !== JSON.stringify(this.keys.value)) this.keys.value = keys;
    });
  }

  async inboundVideo(): Promise<ReadonlyMap<string, InboundVideo>> {
    return (await this.peer.value?.inboundVideo()) ?? new Map();
  }

  /** Tracks are on their senders only while there is a key to seal their frames with. */
  #sendTracks(): (() => void)[] {
    const sent: Record<Source, () => MediaStreamTrack | null> = {
      microphone: () => this.#devices.sentMicrophone.value,
      camera: () => this.#devices.sentCamera.value,
      screen: () => this.#devices.screen.value?.picture ?? null,
      screen_sound: () => this.#devices.screen.value?.sound ?? null,
    };
    return (Object.keys(sent) as Source[]).map((source) =>
      effect(() => {
        const track = this.#group.epoch.value === undefined ? null : sent[source]();
        this.peer.value?.send(source, track).catch((error: unknown) => {
          console.warn(`${source} cannot be sent:`, error);
          this.#events.trouble("A device could not be sent to the others. Choose it again.");
        });
      }),
    );
  }

  #publish(peer: Peer | undefined, ready: boolean): void {
    const { sentMicrophone, sentCamera, screen } = this.#devices;
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
      case "publications_changed":
        this.publications.value = publicationsAfter(this.publications.value, notice.participants);
        break;
      case "speakers":
        this.#namedSpeakers = notice.participants;
        break;
      case "here":
        for (const answered of this.#probes.splice(0)) answered();
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
    for (const slot of stale) this.#workers.tellOpening({ type: "unbind", slot });
    batch(() => {
      this.#bound.value = this.#bound.value.filter(({ key }) => !stale.includes(key));
      this.#fillings.value = slots;
    });
  }

  /** Asks for what the stage shows: at most once in an interval, and only what changed. */
  #wish(): void {
    const { peer, stage, publications } = this;
    const sharers = publications.value
      .filter(({ sources }) => sources.includes("screen"))
      .map(({ participant }) => participant);
    const videos = wishes(
      stage.value,
      this.#group.roster.value,
      new Set(sharers),
      this.#sizes.value,
    );
    const text = JSON.stringify(videos);
    clearTimeout(this.#wishTimer);
    const to = peer.value;
    if (!to || !this.#controlReady.value || text === this.#lastWishes) return;
    this.#wishTimer = setTimeout(() => {
      this.#lastWishes = text;
      to.ask({ type: "wishes", videos });
    }, WISH_INTERVAL_MS);
  }

  #forgetSlots(): void {
    this.#controlReady.value = false;
    this.#bound.value = [];
    this.#fillings.value = [];
    this.stalled.value = new Set();
    this.keys.value = [];
    this.#pausedUntil.clear();
    this.#namedSpeakers = [];
    this.#lastWishes = "";
  }

  #spoke(leaves: ReadonlySet<number>): void {
    const last = new Map(this.#lastSpoke.value);
    for (const leaf of leaves) last.set(leaf, performance.now());
    this.speakers.value = leaves;
    this.#lastSpoke.value = last;
  }
}

function sameSet<T>(a: ReadonlySet<T>, b: ReadonlySet<T>): boolean {
  return a.size === b.size && [...a].every((item) => b.has(item));
}
