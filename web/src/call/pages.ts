/**
 * How many tiles stand on a page. Who is not on the page that is shown is not asked for, so a
 * large room costs no more than its page.
 */
import { type Area, arrange } from "./layout";

/** How many tiles a page may have: full squares. */
export const PAGE_SIZES = [9, 25, 49] as const;

export type PageSize = (typeof PAGE_SIZES)[number];

/** In the space between tiles, CSS pixels. */
export const GAP = 10;

/** On a smaller tile nobody would know a face. In CSS pixels. */
const SMALLEST = { width: 110, height: 104 };

/** Which part of the others is shown. */
export interface View {
  readonly size: number;
  /** Counted from 0; one beyond the last stands for the last. */
  readonly page: number;
}

/** What a page has at most until somebody chooses more: being ready for 49 delays the join. */
export const USUAL_PAGE = 25 satisfies PageSize;

/** The largest page that an area shows well; the smallest one in any case. */
export function pageSizeFor(area: Area): PageSize {
  const fits = (size: PageSize) => {
    const { tileWidth, tileHeight } = arrange(size, area, GAP);
    return tileWidth >= SMALLEST.width && tileHeight >= SMALLEST.height;
  };
  return PAGE_SIZES.findLast(fits) ?? PAGE_SIZES[0];
}

/** For how many cameras to be ready where a page may have so many tiles; a phone shows few. */
export function slotsFor(most: PageSize, screen: Area): PageSize {
  const [smallest] = PAGE_SIZES;
  return pageSizeFor(screen) === smallest ? smallest : most;
}

/** A page of those who stand in order. */
export interface Page<T> {
  readonly shown: readonly T[];
  /** Counted from 0. */
  readonly at: number;
  readonly of: number;
}

/**
 * The page to show of `all`. Whoever looks has a tile on every page, so of several pages each
 * has one place less; those who fit onto one page with it as an extra are not torn apart.
 */
export function pageOf<T>(all: readonly T[], { size, page }: View): Page<T> {
  if (all.length <= size) return { shown: all, at: 0, of: 1 };
  const places = size - 1;
  const of = Math.ceil(all.length / places);
  const at = Math.min(Math.max(page, 0), of - 1);
  return { shown: all.slice(at * places, (at + 1) * places), at, of };
}
