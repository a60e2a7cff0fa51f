import { X } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import type { Member } from "../protocol/Member";
import { ChatPanel } from "./ChatPanel";
import { CameraPicker, MicrophonePicker, QualityPicker, SpeakerPicker } from "./DevicePickers";
import { Icon } from "./Icon";
import { Problems } from "./Lobby";
import { Numbers } from "./Numbers";
import { People } from "./People";
import { ThisPage } from "./ThisPage";
import { TilesPicker } from "./TilesPicker";

export type PanelName = "chat" | "people" | "settings";

const TITLES: Readonly<Record<PanelName, string>> = {
  chat: "Messages",
  people: "People",
  settings: "Settings",
};

interface Props {
  call: Call;
  name: PanelName;
  onClose: () => void;
  onCheck: (member: Member) => void;
}

export function SidePanel({ call, name, onClose, onCheck }: Props) {
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    const field = panel.current?.querySelector<HTMLElement>("textarea, select, button");
    field?.focus();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, [name]);
  return (
    <aside
      ref={panel}
      class="panel"
      aria-label={TITLES[name]}
      onKeyDown={(event) => {
        if (event.key === "Escape") onClose();
      }}
    >
      <header class="panel-head">
        <h2>{TITLES[name]}</h2>
        <button type="button" class="quiet" aria-label="Close panel" onClick={onClose}>
          <Icon of={X} size={20} />
        </button>
      </header>
      {name === "chat" && <ChatPanel call={call} />}
      {name === "people" && <People call={call} onCheck={onCheck} />}
      {name === "settings" && <Settings call={call} />}
    </aside>
  );
}

function Settings({ call }: { call: Call }) {
  const { devices } = call;
  return (
    <div class="panel-body">
      <Problems devices={devices} />
      <CameraPicker devices={devices} />
      <QualityPicker devices={devices} />
      <MicrophonePicker devices={devices} />
      <SpeakerPicker devices={devices} />
      <TilesPicker media={call.media} />
      <section class="panel-section">
        <h3>Keys</h3>
        <dl class="keys">
          {[
            ["M", "Mute or unmute"],
            ["V", "Camera on or off"],
            ["S", "Share the screen"],
            ["C", "Messages"],
            ["P", "People"],
            ["PgUp", "Previous page of people"],
            ["PgDn", "Next page of people"],
            ["Space", "Hold to talk while muted"],
          ].map(([key, meaning]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
      </section>
      <section class="panel-section">
        <h3>This page</h3>
        <ThisPage />
      </section>
      <Numbers call={call} />
    </div>
  );
}
