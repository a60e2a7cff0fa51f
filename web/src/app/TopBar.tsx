import { useSignal } from "@preact/signals";
import { Lock, LockOpen, Settings, Users } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import { Icon, Mark } from "./Icon";
import type { PanelName } from "./SidePanel";

interface Props {
  call: Call;
  panel: PanelName | undefined;
  onPanel: (name: PanelName) => void;
}

export function TopBar({ call, panel, onPanel }: Props) {
  const people = call.roster.value.length;
  return (
    <header class="topbar">
      <div class="topbar-left">
        <Mark size={22} />
        <span class="topbar-room">{call.link.value.room}</span>
        <Encryption call={call} />
      </div>
      <div class="topbar-right">
        <button
          type="button"
          class={`chip ${panel === "people" ? "active" : ""}`}
          aria-label={`People: ${people}`}
          aria-expanded={panel === "people"}
          onClick={() => onPanel("people")}
        >
          <Icon of={Users} size={18} />
          <span>{people || "–"}</span>
        </button>
        <button
          type="button"
          class={`chip ${panel === "settings" ? "active" : ""}`}
          aria-label="Settings"
          aria-expanded={panel === "settings"}
          onClick={() => onPanel("settings")}
        >
          <Icon of={Settings} size={18} />
        </button>
      </div>
    </header>
  );
}

/** Lit only while there is a key that our frames are sealed with. */
function Encryption({ call }: { call: Call }) {
  const open = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const sealing = call.epoch.value !== undefined;
  const waiting = {
    joining: "Agreeing on keys",
    waiting: "Not in the call yet",
    live: "Agreeing on keys",
    reconnecting: "Not connected",
    ended: "Not connected",
  }[call.phase.value];
  useEffect(() => {
    if (!open.value) return;
    const close = (event: Event) => {
      const inside = event.target instanceof Node && box.current?.contains(event.target);
      if (!inside || (event instanceof KeyboardEvent && event.key === "Escape")) open.value = false;
    };
    addEventListener("pointerdown", close);
    addEventListener("keydown", close);
    return () => {
      removeEventListener("pointerdown", close);
      removeEventListener("keydown", close);
    };
  }, [open.value]);
  return (
    <div class="encryption" ref={box}>
      <button
        type="button"
        class={`lock ${sealing ? "sealed" : ""}`}
        aria-label={sealing ? "End-to-end encrypted" : waiting}
        aria-expanded={open.value}
        onClick={() => {
          open.value = !open.value;
        }}
      >
        <Icon of={sealing ? Lock : LockOpen} size={15} />
        <span>{sealing ? "End-to-end encrypted" : waiting}</span>
      </button>
      {open.value && (
        <div class="popover" role="note">
          <h2>Only the people in this call</h2>
          <p>
            Sound, pictures, chat and names are encrypted on each device, with keys that protect
            them from tomorrow’s quantum computers too. The server passes them on and can’t open
            them.
          </p>
          <p>
            The keys change whenever somebody joins or leaves. Names come from those keys, not from
            the server.
          </p>
        </div>
      )}
    </div>
  );
}
