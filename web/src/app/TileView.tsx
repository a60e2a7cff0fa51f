import { MicOff, Pin, PinOff, ScreenShare, ShieldAlert } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import type { Area } from "../call/layout";
import { type Tile, type TileSize, UNSEEN } from "../call/stage";
import { keysOf } from "../call/stats";
import { Avatar } from "./Avatar";
import { Icon } from "./Icon";
import { TrackVideo } from "./TrackVideo";
import { ofKeyTrouble, ofStanding } from "./words";

interface Props {
  call: Call;
  tile: Tile;
  size?: Area;
}

const AWAY = "Reconnecting…";
const PAUSED = "Paused";
const WHY_PAUSED = "your connection is too slow for this picture";

/** One person, or one screen, under the name that its keys prove. */
export function TileView({ call, tile, size }: Props) {
  const figure = useRef<HTMLElement>(null);
  useMeasured(call, tile, figure);
  const member = call.roster.value.find(({ leaf }) => leaf === tile.leaf);
  const name = member?.name ?? "";
  const screen = tile.source === "screen";
  const paused = isPaused(call, tile);
  const keys =
    tile.self || paused ? undefined : keysOf(call.media.keys.value, tile.leaf, tile.source);
  const unreadable = keys === "unreadable";
  const track = paused || unreadable ? null : trackOf(call, tile);
  const muted = !screen && isMuted(call, tile, member?.participant);
  const speaks = !screen && !muted && call.media.speakers.value.has(tile.leaf);
  const away = !tile.self && member !== undefined && call.away.value.has(member.participant);
  const pinned = call.media.pinned.value === tile.key;
  const standing = call.people.judged.value.get(tile.leaf)?.standing;
  const doubtful = standing === "changed" || standing === "differs";
  const label = [
    tile.self ? `${name} (you)` : name,
    doubtful && ofStanding[standing],
    screen && "shared screen",
    muted && "muted",
    away && AWAY,
    paused && `${PAUSED}: ${WHY_PAUSED}`,
    keys === "waiting" && ofKeyTrouble.waiting,
    unreadable && `${ofKeyTrouble.unreadable.title}: ${ofKeyTrouble.unreadable.text(name)}`,
  ];
  const pin = () => {
    call.media.pinned.value = pinned ? undefined : tile.key;
  };
  return (
    <figure
      ref={figure}
      class={`tile ${screen ? "screen" : ""} ${speaks ? "speaks" : ""} ${tile.self ? "self" : ""}`}
      style={size && { width: `${size.width}px`, height: `${size.height}px` }}
      aria-label={label.filter(Boolean).join(", ")}
      data-tile=""
      data-leaf={tile.leaf}
      data-name={name}
      data-self={tile.self ? "true" : "false"}
      data-source={tile.source}
      data-keys={keys}
      onDblClick={pin}
    >
      <TrackVideo
        track={track}
        mirrored={tile.self && !screen}
        onPicture={tile.self ? undefined : () => call.frameShown()}
      />
      {!track && !screen && !paused && !unreadable && <Avatar name={name} />}
      {paused && <Instead tile={tile} name={name} title={PAUSED} text={WHY_PAUSED} />}
      {unreadable && (
        <Instead
          tile={tile}
          name={name}
          title={ofKeyTrouble.unreadable.title}
          text={ofKeyTrouble.unreadable.text(name)}
        />
      )}
      {away && <p class="waiting">{AWAY}</p>}
      {keys === "waiting" && !away && <p class="waiting">{ofKeyTrouble.waiting}</p>}
      {screen && tile.self && (
        <div class="sharing">
          <Icon of={ScreenShare} size={34} />
          <p>You are sharing your screen</p>
        </div>
      )}
      <figcaption>
        {doubtful && <Icon of={ShieldAlert} size={14} />}
        {muted && <Icon of={MicOff} size={14} />}
        {screen && <Icon of={ScreenShare} size={14} />}
        <span>{tile.self ? `${name} (you)` : name}</span>
      </figcaption>
      <button
        type="button"
        class="pin"
        aria-label={`${pinned ? "Unpin" : "Pin"} ${name}${screen ? "’s screen" : ""}`}
        onClick={pin}
      >
        <Icon of={pinned ? PinOff : Pin} size={16} />
      </button>
    </figure>
  );
}

/** What stands in place of a picture that cannot be shown, and why. */
function Instead(props: { tile: Tile; name: string; title: string; text: string }) {
  return (
    <div class="instead">
      {props.tile.source === "screen" ? (
        <Icon of={ScreenShare} size={34} />
      ) : (
        <Avatar name={props.name} />
      )}
      <p>
        {props.title}
        <span>: {props.text}</span>
      </p>
    </div>
  );
}

function trackOf(call: Call, { self, source, slot }: Tile): MediaStreamTrack | null {
  if (self) return source === "camera" ? call.devices.sentCamera.value : null;
  if (slot === undefined) return null;
  if (source === "camera" && call.media.stalled.value.has(slot)) return null;
  const found = call.media.peer.value?.slots.find(({ key }) => key === slot);
  return found?.transceiver.receiver.track ?? null;
}

/** By the server's word: it knows best what it does not send. */
function isPaused(call: Call, { self, source, leaf }: Tile): boolean {
  const paused = call.media.paused.value;
  return !self && paused.some((picture) => picture.leaf === leaf && picture.source === source);
}

/** By the server's word, which is good enough for a small sign. */
function isMuted(call: Call, tile: Tile, participant: string | undefined): boolean {
  if (tile.self) return call.devices.sentMicrophone.value === null;
  const published = call.media.publications.value.find(
    (entry) => entry.participant === participant,
  );
  return published !== undefined && !published.sources.includes("microphone");
}

/**
 * Tells the call how large the tile is on this screen, so that it asks for no more than that;
 * and whether it was scrolled out of sight, so that it does not ask at all.
 */
function useMeasured(call: Call, tile: Tile, figure: { current: HTMLElement | null }) {
  useEffect(() => {
    const element = figure.current;
    if (!element || tile.self) return;
    let seen = true;
    let size: TileSize | undefined;
    const tell = () => call.media.measured(tile.key, seen ? size : UNSEEN);
    const sizes = new ResizeObserver(([entry]) => {
      if (!entry) return;
      const { width, height } = entry.contentRect;
      size = { width: width * devicePixelRatio, height: height * devicePixelRatio };
      tell();
    });
    const sight = new IntersectionObserver((entries) => {
      seen = entries.at(-1)?.isIntersecting ?? seen;
      tell();
    });
    sizes.observe(element);
    sight.observe(element);
    return () => {
      sizes.disconnect();
      sight.disconnect();
      call.media.measured(tile.key, undefined);
    };
  }, [call, tile.key, tile.self]);
}
