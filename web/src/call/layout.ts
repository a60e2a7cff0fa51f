/** Where tiles go: the largest equal rectangles that fit a given area. */

export interface Area {
  readonly width: number;
  readonly height: number;
}

export interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly tileWidth: number;
  readonly tileHeight: number;
}

/** A tile is never wider than a camera's picture. */
const WIDEST = 16 / 9;
/** On an upright screen a tile may be upright too; elsewhere that would cut too much away. */
const NARROWEST = { upright: 3 / 4, lying: 4 / 3 };

/** The arrangement of `count` tiles in `area` that makes the tiles largest. */
export function arrange(count: number, area: Area, gap: number): Grid {
  let best: Grid = { columns: 1, rows: Math.max(count, 1), tileWidth: 0, tileHeight: 0 };
  const narrowest = area.height > area.width ? NARROWEST.upright : NARROWEST.lying;
  for (let columns = 1; columns <= Math.max(count, 1); columns++) {
    const rows = Math.ceil(count / columns) || 1;
    const cellWidth = (area.width - gap * (columns - 1)) / columns;
    const cellHeight = (area.height - gap * (rows - 1)) / rows;
    if (cellWidth <= 0 || cellHeight <= 0) continue;
    const ratio = Math.min(WIDEST, Math.max(narrowest, cellWidth / cellHeight));
    const tileWidth = Math.floor(Math.min(cellWidth, cellHeight * ratio));
    const tileHeight = Math.floor(Math.min(cellHeight, tileWidth / ratio));
    if (tileWidth * tileHeight > best.tileWidth * best.tileHeight) {
      best = { columns, rows, tileWidth, tileHeight };
    }
  }
  return best;
}
