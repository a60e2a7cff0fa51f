import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import { type Area, arrange } from "../call/layout";
import { GAP, pageSizeFor } from "../call/pages";
import type { Tile } from "../call/stage";
import { Invitation } from "./Invitation";
import { Pager } from "./Pager";
import { TileView } from "./TileView";

/** Arranges the tiles: alone, two, a grid, or one large and the rest beside it. */
export function StageView({ call }: { call: Call }) {
  const { spotlight, rest, page } = call.media.stage.value;
  const box = useRef<HTMLElement>(null);
  const area = useArea(box);
  useEffect(() => {
    call.media.room.value = pageSizeFor(area);
  }, [call, area]);
  const tiles = [...spotlight, ...rest];
  const alone = call.phase.value === "live" && tiles.every(({ self }) => self);
  const duo = spotlight.length === 0 && rest.length === 2;
  const mode = spotlight.length > 0 ? "spotlight" : duo ? "duo" : "grid";
  return (
    <section
      ref={box}
      class={`stage ${mode} ${page.of > 1 ? "paged" : ""}`}
      aria-label="People in the call"
    >
      {mode === "grid" && <Grid call={call} tiles={rest} />}
      {mode === "duo" && rest.map((tile) => <TileView key={tile.key} call={call} tile={tile} />)}
      {mode === "spotlight" && (
        <>
          <div class="spot">
            {spotlight.map((tile) => (
              <TileView key={tile.key} call={call} tile={tile} />
            ))}
          </div>
          <div class="strip">
            {rest.map((tile) => (
              <TileView key={tile.key} call={call} tile={tile} />
            ))}
          </div>
        </>
      )}
      {alone && spotlight.length === 0 && (
        <div class="alone">
          <h2>You’re the only one here</h2>
          <p>Share this link with the people you want to talk to.</p>
          <Invitation link={call.address.value} notices={call.notices} />
        </div>
      )}
      {page.of > 1 && <Pager {...page} onTurn={(by) => call.media.turn(by)} />}
    </section>
  );
}

function Grid({ call, tiles }: { call: Call; tiles: readonly Tile[] }) {
  const box = useRef<HTMLDivElement>(null);
  const { tileWidth, tileHeight } = arrange(tiles.length, useArea(box), GAP);
  return (
    <div class="tiles" ref={box}>
      {tiles.map((tile) => (
        <TileView
          key={tile.key}
          call={call}
          tile={tile}
          size={{ width: tileWidth, height: tileHeight }}
        />
      ))}
    </div>
  );
}

/** The room inside an element, as it changes. */
function useArea(box: { current: HTMLElement | null }): Area {
  const area = useSignal<Area>({ width: 0, height: 0 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) area.value = { width: entry.contentRect.width, height: entry.contentRect.height };
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return area.value;
}
