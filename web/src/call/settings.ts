/** What a person chose last time. It stays in this browser and holds nothing about any call. */

import { PAGE_SIZES, type PageSize, USUAL_PAGE } from "./pages";

export type Quality = "saver" | "standard" | "high";

export interface Settings {
  readonly name: string;
  readonly cameraId: string;
  readonly microphoneId: string;
  readonly speakerId: string;
  readonly cameraOn: boolean;
  readonly microphoneOn: boolean;
  readonly quality: Quality;
  /** At most so many tiles on a page. */
  readonly tiles: PageSize;
}

const KEY = "conclave.settings";

const DEFAULTS: Settings = {
  name: "",
  cameraId: "",
  microphoneId: "",
  speakerId: "",
  cameraOn: true,
  microphoneOn: true,
  quality: "high",
  tiles: USUAL_PAGE,
};

/** How large a picture is taken from the camera. */
export const PICTURES: Readonly<Record<Quality, { width: number; height: number; fps: number }>> = {
  saver: { width: 320, height: 180, fps: 15 },
  standard: { width: 640, height: 360, fps: 30 },
  high: { width: 1280, height: 720, fps: 30 },
};

/** Takes only what has the right type: older versions, or people, may have written the rest. */
export function readSettings(text: string | null): Settings {
  let stored: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(text ?? "{}");
    if (typeof parsed === "object" && parsed !== null) stored = { ...parsed };
  } catch {
    return DEFAULTS;
  }
  const string = (key: keyof Settings) =>
    typeof stored[key] === "string" ? (stored[key] as string) : "";
  const flag = (key: "cameraOn" | "microphoneOn") =>
    typeof stored[key] === "boolean" ? stored[key] : DEFAULTS[key];
  const quality = string("quality");
  return {
    name: string("name"),
    cameraId: string("cameraId"),
    microphoneId: string("microphoneId"),
    speakerId: string("speakerId"),
    cameraOn: flag("cameraOn"),
    microphoneOn: flag("microphoneOn"),
    quality: Object.hasOwn(PICTURES, quality) ? (quality as Quality) : DEFAULTS.quality,
    tiles: PAGE_SIZES.find((size) => size === stored.tiles) ?? DEFAULTS.tiles,
  };
}

export function loadSettings(): Settings {
  try {
    return readSettings(localStorage.getItem(KEY));
  } catch {
    // Storage is switched off in this browser: everything works, nothing is remembered.
    return DEFAULTS;
  }
}

export function saveSettings(change: Partial<Settings>): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...loadSettings(), ...change }));
  } catch {
    // As above.
  }
}
