/** Keys that work anywhere in a call, but never while somebody is typing. */

export type Hotkey =
  | "microphone"
  | "camera"
  | "screen"
  | "chat"
  | "people"
  | "previous_page"
  | "next_page";

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly repeat: boolean;
}

/** Which key does what, for the page that explains them. */
export const HOTKEYS: Readonly<Record<string, Hotkey>> = {
  m: "microphone",
  v: "camera",
  s: "screen",
  c: "chat",
  p: "people",
  pageup: "previous_page",
  pagedown: "next_page",
};

export function hotkeyOf(press: KeyPress, typing: boolean): Hotkey | undefined {
  if (typing || press.repeat || press.ctrlKey || press.metaKey || press.altKey) return undefined;
  const key = press.key.toLowerCase();
  return Object.hasOwn(HOTKEYS, key) ? HOTKEYS[key] : undefined;
}

/** True for elements that take text, or that use letters to choose. */
export function takesText(element: {
  readonly tagName: string;
  readonly isContentEditable?: boolean;
}): boolean {
  return ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName) || !!element.isContentEditable;
}
