import { initials, tint } from "../call/roster";

const TINTS = 8;

/** Stands in for somebody whose picture is not there. */
export function Avatar({ name, text, small }: { name: string; text?: string; small?: boolean }) {
  return (
    <span class={`avatar tint-${tint(name, TINTS)} ${small ? "small" : ""}`} aria-hidden="true">
      {text ?? initials(name)}
    </span>
  );
}
