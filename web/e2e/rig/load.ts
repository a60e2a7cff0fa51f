/** What calls ask of a machine whose two cores run up to five browsers. */
interface Load {
  /** Pictures a second of each camera. */
  readonly cameraFps: number;
  /** How many tiles a page has: each is a transceiver that browsers negotiate and count. */
  readonly tiles: 9 | 25 | 49;
}

/** What people have is what benchmarks measure; tests of what happens do with less. */
export const load: Load =
  "CONCLAVE_E2E" in process.env ? { cameraFps: 20, tiles: 25 } : { cameraFps: 10, tiles: 9 };
