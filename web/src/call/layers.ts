/**
 * Which simulcast layers a camera's picture is worth. Browsers drop the upper layers of a
 * small picture, and what is left would be a fraction of it: so a small picture is sent whole
 * on the lower layers, and the upper ones stay off.
 */

/** RIDs of the camera's layers, low to high. */
const RIDS = ["q", "h", "f"] as const;

export interface Layer {
  readonly rid: (typeof RIDS)[number];
  readonly active: boolean;
  readonly scaleResolutionDownBy: number;
  readonly maxBitrate: number;
}

/** Bits per second for a picture that is up to so many lines high. */
const BITRATES: readonly (readonly [lines: number, bitrate: number])[] = [
  [180, 150_000],
  [360, 500_000],
  [540, 1_000_000],
  [Number.POSITIVE_INFINITY, 1_700_000],
];

/** The layers for a picture of that height, low to high. */
export function layersFor(height: number): Layer[] {
  const scales = height >= 540 ? [4, 2, 1] : height >= 270 ? [2, 1] : [1];
  return RIDS.map((rid, index) => {
    const scale = scales[index];
    const lines = height / (scale ?? 1);
    const maxBitrate = BITRATES.find(([limit]) => lines <= limit)?.[1] ?? 0;
    return { rid, active: scale !== undefined, scaleResolutionDownBy: scale ?? 1, maxBitrate };
  });
}
