/**
 * In which sizes a camera's picture is sent. With VP8, the common ground, each size is a stream
 * of its own (simulcast). Codecs with spatial layers carry all sizes in one stream (SVC), which
 * costs less and needs no key frame to step down.
 *
 * Browsers drop the upper layers of a small picture, and what is left would be a fraction of
 * it: so a small picture is sent whole on the lower layers, and the upper ones stay off.
 */
import type { Codec } from "../crypto/codec";

/** RIDs of the camera's encodings, low to high. */
const RIDS = ["q", "h", "f"] as const;

export interface Encoding {
  readonly rid?: (typeof RIDS)[number];
  readonly active: boolean;
  readonly scaleResolutionDownBy: number;
  readonly maxBitrate: number;
  /** As in WebRTC-SVC; browsers that know nothing of it pass over it. */
  readonly scalabilityMode: string;
}

/** Bits per second for a picture that is up to so many lines high. */
const BITRATES: readonly (readonly [lines: number, bitrate: number])[] = [
  [180, 150_000],
  [360, 500_000],
  [540, 1_000_000],
  [Number.POSITIVE_INFINITY, 1_700_000],
];

const bitrateFor = (lines: number) => BITRATES.find(([limit]) => lines <= limit)?.[1] ?? 0;

/** How many sizes a picture of that height is sent in. */
const sizesFor = (height: number) => (height >= 540 ? 3 : height >= 270 ? 2 : 1);

/** One encoding for each size, each with three frame rates to choose from. */
export function simulcast(height: number): Encoding[] {
  const sizes = sizesFor(height);
  return RIDS.map((rid, index) => {
    const active = index < sizes;
    const scale = active ? 2 ** (sizes - 1 - index) : 1;
    return {
      rid,
      active,
      scaleResolutionDownBy: scale,
      maxBitrate: bitrateFor(height / scale),
      scalabilityMode: "L1T3",
    };
  });
}

/**
 * One encoding with all sizes in it. Only key frames of a size lean on the size below, so that
 * a receiver of the larger one need not be sent the smaller ones.
 */
export function scalable(height: number, spatial: boolean): Encoding[] {
  const sizes = spatial ? sizesFor(height) : 1;
  return [
    {
      active: true,
      scaleResolutionDownBy: 1,
      maxBitrate: bitrateFor(height),
      scalabilityMode: sizes > 1 ? `L${sizes}T3_KEY` : "L1T3",
    },
  ];
}

/**
 * The encodings for a picture of that height.
 *
 * @param described every packet tells its frame's layers (dependency descriptor). Without that,
 *   receivers take the AV1 layers of one picture for a single frame, which then does not open.
 */
export function encodingsFor(codec: Codec, height: number, described: boolean): Encoding[] {
  switch (codec) {
    case "vp9":
      return scalable(height, true);
    case "av1":
      return scalable(height, described);
    default:
      return simulcast(height);
  }
}
