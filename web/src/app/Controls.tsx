import {
  Link,
  MessageSquare,
  Mic,
  MicOff,
  PhoneOff,
  ScreenShare,
  ScreenShareOff,
  Video,
  VideoOff,
} from "lucide";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import type { Call } from "../call/call";
import { canShareScreen } from "../call/devices";
import { LevelMeter } from "../call/level";
import { copyLink } from "./copy";
import { Icon } from "./Icon";
import type { PanelName } from "./SidePanel";

interface Props {
  call: Call;
  panel: PanelName | undefined;
  onPanel: (name: PanelName) => void;
  onLeave: () => void;
}

export function Controls({ call, panel, onPanel, onLeave }: Props) {
  const { devices } = call;
  const microphone = devices.sentMicrophone.value !== null;
  const camera = devices.sentCamera.value !== null;
  const screen = devices.screen.value !== null;
  const unread = call.chat.unread.value;
  useMutedHint(call, microphone);
  return (
    <div class="controls" role="toolbar" aria-label="Call controls">
      <Control
        label={microphone ? "Mute microphone" : "Unmute microphone"}
        hint={microphone ? "Mute (M)" : "Unmute (M)"}
        look={microphone ? "" : "off"}
        onClick={() => void devices.toggleMicrophone()}
      >
        <Icon of={microphone ? Mic : MicOff} size={22} />
      </Control>
      <Control
        label={camera ? "Turn camera off" : "Turn camera on"}
        hint={camera ? "Camera off (V)" : "Camera on (V)"}
        look={camera ? "" : "off"}
        onClick={() => void devices.toggleCamera()}
      >
        <Icon of={camera ? Video : VideoOff} size={22} />
      </Control>
      {canShareScreen && (
        <Control
          label={screen ? "Stop sharing" : "Share screen"}
          hint={screen ? "Stop sharing (S)" : "Share screen (S)"}
          look={screen ? "lit" : ""}
          onClick={() => void call.toggleScreen()}
        >
          <Icon of={screen ? ScreenShareOff : ScreenShare} size={22} />
        </Control>
      )}
      <Control
        label="Chat"
        hint="Chat (C)"
        look={panel === "chat" ? "lit" : ""}
        expanded={panel === "chat"}
        described={unread > 0 ? "chat-unread" : undefined}
        onClick={() => onPanel("chat")}
      >
        <Icon of={MessageSquare} size={22} />
        {unread > 0 && (
          <span class="badge" id="chat-unread">
            {unread > 9 ? "9+" : unread}
            <span class="unseen"> unread</span>
          </span>
        )}
      </Control>
      <Control
        label="Copy link"
        hint="Copy link"
        onClick={() => void copyLink(call.address.value, call.notices)}
      >
        <Icon of={Link} size={22} />
      </Control>
      <Control label="Leave" hint="Leave" look="leave" onClick={onLeave}>
        <Icon of={PhoneOff} size={22} />
      </Control>
    </div>
  );
}

interface ControlProps {
  label: string;
  hint: string;
  look?: string;
  expanded?: boolean;
  described?: string | undefined;
  onClick: () => void;
  children: ComponentChildren;
}

function Control({ label, hint, look = "", expanded, described, onClick, children }: ControlProps) {
  return (
    <button
      type="button"
      class={`control ${look}`}
      aria-label={label}
      aria-expanded={expanded}
      aria-describedby={described}
      data-hint={hint}
      onClick={onClick}
    >
      {children}
    </button>
  );
}

/** Louder than this is somebody talking. */
const TALKING = 0.6;
const HINT_INTERVAL_MS = 30_000;

/** Tells somebody who talks into a muted microphone. What it hears never leaves the device. */
function useMutedHint(call: Call, on: boolean) {
  const meter = useMemo(() => new LevelMeter(), []);
  const track = call.devices.microphone.value;
  useEffect(() => () => meter.close(), [meter]);
  useEffect(() => {
    meter.listen(on ? null : track);
    let last = Number.NEGATIVE_INFINITY;
    return meter.level.subscribe((level) => {
      const now = performance.now();
      if (level < TALKING || now - last < HINT_INTERVAL_MS) return;
      last = now;
      const keys = matchMedia("(hover: hover)").matches;
      call.notices.say("info", keys ? "You are muted. Press M to be heard." : "You are muted.");
    });
  }, [meter, track, on]);
}
