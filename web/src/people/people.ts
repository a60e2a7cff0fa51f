/** The people of a call beside what this browser remembers of them. */
import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import type { Member } from "../protocol/Member";
import { type Alarm, alarmsAfter, type Namesakes, namesakes } from "./alarms";
import {
  type Acquaintance,
  differing,
  isNews,
  type Judgement,
  judge,
  judgeVisitor,
  type Known,
  type Met,
  noted,
  surplus,
  unmarked,
  verified,
} from "./known";
import type { PeopleStore } from "./store";

/** Many more than anyone meets, so that a flood of strangers does not fill the disk. */
const MOST_PEOPLE = 5_000;

type Mark = (before: Acquaintance | undefined, met: Met, now: number) => Acquaintance;

/** What to think of somebody who waits before the door. */
export type VisitorJudgement = Judgement & Namesakes;

export class People {
  /** False when this browser keeps nothing of what happens here. */
  readonly lasting = signal(true);
  readonly alarms = signal<readonly Alarm[]>([]);
  /** What to think of whom, by their leaves; of nobody, as long as nothing is read yet. */
  readonly judged = computed((): ReadonlyMap<number, Judgement> => {
    const known = this.#known.value;
    return known ? judge(this.#roster.value, known, this.#since) : new Map();
  });

  readonly #known = signal<Known | undefined>(undefined);
  readonly #roster: ReadonlySignal<readonly Member[]>;
  readonly #store: PeopleStore;
  readonly #now: () => number;
  readonly #since: number;
  readonly #dismissed = new Set<string>();
  /** Devices about which something is being written down. */
  readonly #writing = new Set<string>();
  readonly #stops: readonly (() => void)[];

  constructor(
    roster: ReadonlySignal<readonly Member[]>,
    store: PeopleStore,
    now: () => number = Date.now,
  ) {
    this.#roster = roster;
    this.#store = store;
    this.#now = now;
    this.#since = now();
    this.#stops = [store.watch(() => void this.#read()), effect(() => this.#look())];
    void this.#read();
  }

  /** What is remembered of a device. */
  recall(device: string): Acquaintance | undefined {
    return this.#known.value?.get(device);
  }

  /**
   * The same that would be thought of them in the call, to be known before they are let in; nothing,
   * as long as nothing is read yet.
   */
  judgeVisitor(visitor: Met): VisitorJudgement | undefined {
    const known = this.#known.value;
    if (!known) return undefined;
    const roster = this.#roster.value;
    const own = roster.find((member) => member.is_self)?.device;
    const judgement = judgeVisitor(visitor, known, this.#since, own);
    const here = new Set(roster.map(({ device }) => device));
    return { ...judgement, ...namesakes(judgement, here) };
  }

  /** The digits are the same. */
  verify(member: Member): void {
    this.#mark([member], verified);
  }

  /** The digits differ. */
  distrust(member: Member): void {
    this.#mark([member], differing);
  }

  unmark(member: Member): void {
    this.#mark([member], unmarked);
  }

  /** The person knows why somebody's device is new. */
  accept(member: Member): void {
    this.#mark([member], noted);
  }

  /** The person has read a warning that asks nothing of them. */
  dismiss(alarm: Alarm): void {
    // Who has left and comes back with another's name is warned of again.
    if (alarm.kind === "differs" && alarm.present) this.#dismissed.add(alarm.key);
    this.alarms.value = this.alarms.value.filter(({ key }) => key !== alarm.key);
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }

  async #read(): Promise<void> {
    try {
      const all = await this.#store.all();
      this.#known.value = new Map(all.map((acquaintance) => [acquaintance.device, acquaintance]));
    } catch {
      this.lasting.value = false;
      this.#known.value ??= new Map();
    }
  }

  /** Warns of whom to doubt, and remembers the others. */
  #look(): void {
    const known = this.#known.value;
    const roster = this.#roster.value;
    if (!known) return;
    const judged = this.judged.value;
    this.alarms.value = alarmsAfter(this.alarms.peek(), roster, judged, this.#dismissed);
    const now = this.#now();
    const met = roster.filter((member) => {
      const standing = judged.get(member.leaf)?.standing;
      if (standing === undefined || standing === "own" || standing === "changed") return false;
      if (this.#writing.has(member.device)) return false;
      return isNews(known.get(member.device), member, now);
    });
    // Not while the effect reads what this writes.
    if (met.length > 0) queueMicrotask(() => this.#note(met));
  }

  #note(met: readonly Met[]): void {
    const devices = met.map(({ device }) => device);
    for (const device of devices) this.#writing.add(device);
    this.#mark(met, noted, () => {
      for (const device of devices) this.#writing.delete(device);
    });
  }

  /**
   * In the store first, upon what stands there by then: who has seen it done may close the window.
   * Where nothing can be kept, for this window.
   */
  #mark(met: readonly Met[], mark: Mark, done = () => {}): void {
    const now = this.#now();
    const byDevice = new Map(met.map((one) => [one.device, one]));
    const change = (before: Acquaintance | undefined, device: string): Acquaintance =>
      mark(before, byDevice.get(device) ?? { device, name: "" }, now);
    const devices = [...byDevice.keys()];
    this.#store
      .change(devices, change)
      .catch(() => {
        this.lasting.value = false;
        const known = this.#known.peek();
        return devices.map((device) => change(known?.get(device), device));
      })
      .then((changed) => {
        this.#take(changed);
        done();
        return this.#forgetSurplus();
      })
      .catch(() => {
        this.lasting.value = false;
      });
  }

  #take(changed: readonly Acquaintance[]): void {
    const known = new Map(this.#known.peek());
    for (const acquaintance of changed) known.set(acquaintance.device, acquaintance);
    this.#known.value = known;
  }

  async #forgetSurplus(): Promise<void> {
    const known = new Map(this.#known.peek());
    const devices = surplus(known, MOST_PEOPLE);
    if (devices.length === 0) return;
    for (const device of devices) known.delete(device);
    this.#known.value = known;
    await this.#store.forget(devices);
  }
}
