/**
 * Who is on the stage: the order of tiles, which of them there is room for, and what to ask
 * the server for.
 */
import type { Member } from "../protocol/Member";
import type { VideoWish } from "../protocol/VideoWish";
import type { Picture } from "./binding";
import { pageOf, type View } from "./pages";

export interface Tile {
  /** Stays the same while the tile shows the same thing. */
  readonly key: string;
  readonly leaf: number;
  readonly source: "camera" | "screen";
  readonly self: boolean;
  /** The slot whose picture it shows; none while there is no picture that opened. */
  readonly slot: string | undefined;
}

export interface Stage {
  /** Shown large, whichever page is open; empty in a plain grid. */
  readonly spotlight: readonly Tile[];
  readonly rest: readonly Tile[];
  /** Which page of the others this is, counted from 0, and of how many. */
  readonly page: { readonly at: number; readonly of: number };
}

/**
 * Sets the stage. The first page goes to those who spoke last; on every page people are kept
 * in the order of the group, so that tiles do not wander about.
 *
 * @param lastSpoke by leaf; larger is later
 * @param pinned the key of a tile that somebody wants to see large
 */
export function setStage(
  roster: readonly Member[],
  shown: readonly Picture[],
  lastSpoke: ReadonlyMap<number, number>,
  pinned: string | undefined,
  sharing: boolean,
  view: View,
): Stage {
  const slotOf = (leaf: number, source: Tile["source"]) =>
    shown.find((picture) => picture.leaf === leaf && picture.source === source)?.slot;
  const camera = ({ leaf, is_self }: Member) =>
    tile(leaf, "camera", is_self, is_self ? undefined : slotOf(leaf, "camera"));

  const self = roster.find((member) => member.is_self);
  const screens = shown
    .filter(({ source }) => source === "screen")
    .map(({ leaf, slot }) => tile(leaf, "screen", false, slot));
  if (self && sharing) screens.push(tile(self.leaf, "screen", true, undefined));

  const pin = [...screens, ...roster.map(camera)].find(({ key }) => key === pinned);
  const spotlight = pin ? [pin] : screens.slice(0, 1);
  const isLarge = ({ key }: Tile) => spotlight.some((large) => large.key === key);

  const others = roster.filter((member) => !member.is_self && !isLarge(camera(member)));
  // A camera that is shown large takes one of the slots.
  const room = { ...view, size: pin?.source === "camera" && !pin.self ? view.size - 1 : view.size };
  const { shown: present, ...page } = pageOf(speakersFirst(others, lastSpoke, room.size), room);
  const rest = [...screens, ...present.map(camera), ...(self ? [camera(self)] : [])];
  return { spotlight, rest: rest.filter((candidate) => !isLarge(candidate)), page };
}

/** Moves those who spoke last onto the first page, and changes the order in nothing else. */
function speakersFirst(
  others: readonly Member[],
  lastSpoke: ReadonlyMap<number, number>,
  size: number,
): readonly Member[] {
  if (others.length <= size) return others;
  const rank = ({ leaf }: Member) => lastSpoke.get(leaf) ?? -1;
  const first = new Set([...others].sort((a, b) => rank(b) - rank(a)).slice(0, size - 1));
  return [...others.filter((one) => first.has(one)), ...others.filter((one) => !first.has(one))];
}

function tile(leaf: number, source: Tile["source"], self: boolean, slot: string | undefined): Tile {
  return { key: `${source}-${leaf}`, leaf, source, self, slot };
}

/** A tile's size on the screen, in device pixels. */
export interface TileSize {
  readonly width: number;
  readonly height: number;
}

/** The size of a tile that nobody can see: it was scrolled away. */
export const UNSEEN: TileSize = { width: 0, height: 0 };

/**
 * What to ask the server for: the screens that others share, then the tiles on the stage in
 * their order, each at its size. A camera whose tile is out of sight is not asked for.
 */
export function wishes(
  stage: Stage,
  roster: readonly Member[],
  sharers: ReadonlySet<string>,
  sizes: ReadonlyMap<string, TileSize>,
): VideoWish[] {
  const participants = new Map(roster.map(({ leaf, participant }) => [leaf, participant]));
  const large = new Set(stage.spotlight.map(({ key }) => key));
  const found: VideoWish[] = [];
  const ask = (participant: string, source: Tile["source"], key: string) =>
    found.push({ participant, source, size: sizeOf(sizes.get(key)), pinned: large.has(key) });

  for (const { leaf, participant, is_self } of roster) {
    if (!is_self && sharers.has(participant)) ask(participant, "screen", `screen-${leaf}`);
  }
  for (const { leaf, source, self, key } of [...stage.spotlight, ...stage.rest]) {
    const participant = participants.get(leaf);
    const seen = sizes.get(key) !== UNSEEN;
    if (!self && source === "camera" && participant && seen) ask(participant, "camera", key);
  }
  return found;
}

/** What a tile that has not been laid out yet is taken to be. */
const USUAL: TileSize = { width: 640, height: 360 };
const LARGEST = 8192;

function sizeOf(size: TileSize | undefined): TileSize {
  const { width, height } = size ?? USUAL;
  const whole = (pixels: number) => Math.min(LARGEST, Math.max(1, Math.round(pixels)));
  return { width: whole(width), height: whole(height) };
}
