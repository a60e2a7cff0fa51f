/**
 * Who is on the stage: the order of tiles, which of them there is room for, and what to ask
 * the server for.
 */
import type { Member } from "../protocol/Member";
import type { VideoWish } from "../protocol/VideoWish";
import type { Picture } from "./binding";

/** As many others as there are slots for cameras. */
export const MOST_OTHERS = 9;

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
  /** Shown large; empty in a plain grid. */
  readonly spotlight: readonly Tile[];
  readonly rest: readonly Tile[];
  /** Others for whom there is no room. */
  readonly more: readonly Member[];
}

/**
 * Sets the stage. Places among the others go to those who spoke last, and are kept in the
 * order of the group, so that tiles do not wander about.
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
): Stage {
  const others = roster.filter((member) => !member.is_self);
  const rank = ({ leaf }: Member) => lastSpoke.get(leaf) ?? -1;
  const kept = new Set(
    others
      .map((member, place) => ({ member, place }))
      .sort((a, b) => rank(b.member) - rank(a.member) || a.place - b.place)
      .slice(0, MOST_OTHERS)
      .map(({ member }) => member.leaf),
  );
  const slotOf = (leaf: number, source: Tile["source"]) =>
    shown.find((picture) => picture.leaf === leaf && picture.source === source)?.slot;

  const self = roster.find((member) => member.is_self);
  const tiles: Tile[] = others
    .filter(({ leaf }) => kept.has(leaf))
    .map(({ leaf }) => tile(leaf, "camera", false, slotOf(leaf, "camera")));
  if (self) tiles.push(tile(self.leaf, "camera", true, undefined));

  const screens = shown
    .filter(({ source }) => source === "screen")
    .map(({ leaf, slot }) => tile(leaf, "screen", false, slot));
  if (self && sharing) screens.push(tile(self.leaf, "screen", true, undefined));

  const all = [...screens, ...tiles];
  const pin = all.find(({ key }) => key === pinned);
  const spotlight = pin ? [pin] : screens.slice(0, 1);
  return {
    spotlight,
    rest: all.filter((candidate) => !spotlight.includes(candidate)),
    more: others.filter(({ leaf }) => !kept.has(leaf)),
  };
}

function tile(leaf: number, source: Tile["source"], self: boolean, slot: string | undefined): Tile {
  return { key: `${source}-${leaf}`, leaf, source, self, slot };
}

/** A tile's size on the screen, in device pixels. */
export interface TileSize {
  readonly width: number;
  readonly height: number;
}

/**
 * What to ask the server for: the screens that others share, then the tiles on the stage in
 * their order, each at its size.
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
    if (!self && source === "camera" && participant) ask(participant, "camera", key);
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
