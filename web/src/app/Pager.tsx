import { ChevronLeft, ChevronRight } from "lucide";
import { Icon } from "./Icon";

interface Props {
  /** Counted from 0. */
  at: number;
  of: number;
  onTurn: (by: 1 | -1) => void;
}

/** Turns the pages of a room that is too large for one. */
export function Pager({ at, of, onTurn }: Props) {
  return (
    <nav class="pager" aria-label="Pages of people">
      <Turn label="Previous page" keys="PageUp" end={at === 0} onClick={() => onTurn(-1)}>
        {ChevronLeft}
      </Turn>
      <span role="status">
        <span class="unseen">Page </span>
        {at + 1} of {of}
      </span>
      <Turn label="Next page" keys="PageDown" end={at === of - 1} onClick={() => onTurn(1)}>
        {ChevronRight}
      </Turn>
    </nav>
  );
}

interface TurnProps {
  label: string;
  keys: string;
  /** There is no page in this direction. The button stays where the focus is. */
  end: boolean;
  onClick: () => void;
  children: typeof ChevronLeft;
}

function Turn({ label, keys, end, onClick, children }: TurnProps) {
  return (
    <button
      type="button"
      aria-label={label}
      aria-keyshortcuts={keys}
      aria-disabled={end}
      onClick={onClick}
    >
      <Icon of={children} size={18} />
    </button>
  );
}
