import { useSignal } from "@preact/signals";
import { useCallback, useEffect } from "preact/hooks";
import type { Call } from "../call/call";
import { hotkeyOf, takesText } from "../call/hotkeys";
import type { Member } from "../protocol/Member";
import { Alarms } from "./Alarms";
import { AudioOutputs } from "./AudioOutputs";
import { Controls } from "./Controls";
import { DropZone } from "./DropZone";
import { LeaveSheet } from "./LeaveSheet";
import { NoticeList } from "./NoticeList";
import { PersonSheet } from "./PersonSheet";
import { type PanelName, SidePanel } from "./SidePanel";
import { StageView } from "./StageView";
import { TopBar } from "./TopBar";
import { Visitors } from "./Visitors";
import { ofDevice, ofForgetting, ofHosting } from "./words";

/** The call itself. */
export function CallView({ call }: { call: Call }) {
  const panel = useSignal<PanelName | undefined>(undefined);
  /** Whose digits are being compared. */
  const checked = useSignal<Member | undefined>(undefined);
  const check = (member: Member) => {
    checked.value = member;
  };
  /** The only host of a guarded call wants to leave. */
  const leaving = useSignal(false);
  const leave = () => {
    const { onlyHost, door } = call.hosting;
    if (onlyHost.value && door.value !== "open") leaving.value = true;
    else call.leave();
  };
  const toggle = (name: PanelName) => {
    panel.value = panel.value === name ? undefined : name;
  };
  const showChat = useCallback(() => {
    panel.value = "chat";
  }, [panel]);
  useEffect(() => call.chat.setOpen(panel.value === "chat"), [call, panel.value]);
  useHotkeys(call, toggle);
  useWakeLock();
  useDeviceTrouble(call);
  useForgetting(call);

  return (
    <div class={`call ${panel.value ? "with-panel" : ""}`}>
      <TopBar call={call} panel={panel.value} onPanel={toggle} />
      <main class="call-main" aria-label="Call">
        <StageView call={call} />
        {panel.value && (
          <SidePanel
            call={call}
            name={panel.value}
            onClose={() => {
              panel.value = undefined;
            }}
            onCheck={check}
          />
        )}
      </main>
      <Controls call={call} panel={panel.value} onPanel={toggle} onLeave={leave} />
      <Banner call={call} />
      <div class="told">
        <Visitors call={call} />
        <Alarms people={call.people} onCheck={check} />
        <NoticeList notices={call.notices} />
      </div>
      {checked.value && (
        <PersonSheet
          key={checked.value.device}
          call={call}
          member={checked.value}
          onClose={() => {
            checked.value = undefined;
          }}
        />
      )}
      {leaving.value && (
        <LeaveSheet
          call={call}
          onStay={() => {
            leaving.value = false;
          }}
        />
      )}
      <DropZone call={call} onDrop={showChat} />
      <AudioOutputs call={call} />
    </div>
  );
}

function Banner({ call }: { call: Call }) {
  const { value } = call.phase;
  const broken = useLasting(call.lineBroken.value);
  const text = {
    joining: "Joining… agreeing on keys with the others",
    waiting: ofHosting.letYouIn,
    reconnecting: "Connection lost. Trying to come back…",
    live: broken ? "Reconnecting…" : "",
    ended: "",
  }[value];
  return (
    <div class={`banner ${value} ${text && broken ? "broken" : ""}`} role="status">
      {text && (
        <>
          <i class="spinner" />
          {text}
        </>
      )}
    </div>
  );
}

/** True once something has been so for a second: what passes at once is nobody's concern. */
function useLasting(now: boolean): boolean {
  const lasting = useSignal(false);
  useEffect(() => {
    if (!now) {
      lasting.value = false;
      return;
    }
    const timer = setTimeout(() => {
      lasting.value = true;
    }, 1_000);
    return () => clearTimeout(timer);
  }, [now]);
  return lasting.value;
}

/** A call is watched more than it is touched: the screen stays on. */
function useWakeLock() {
  useEffect(() => {
    let lock: WakeLockSentinel | undefined;
    const hold = async () => {
      if (document.visibilityState !== "visible") return;
      // Refused when the battery is low; the call goes on all the same.
      lock = await navigator.wakeLock?.request("screen").catch(() => undefined);
    };
    void hold();
    document.addEventListener("visibilitychange", hold);
    return () => {
      document.removeEventListener("visibilitychange", hold);
      void lock?.release();
    };
  }, []);
}

/** Says what is wrong with a device when it fails during the call; before, the lobby did. */
function useDeviceTrouble(call: Call) {
  useEffect(() => {
    const before = call.devices.trouble.peek();
    return call.devices.trouble.subscribe((trouble) => {
      if (!trouble || trouble === before) return;
      call.notices.say("warning", ofDevice([trouble.kind], trouble.problem));
    });
  }, [call]);
}

/** Says once that this browser will not be known again; the list of people goes on saying it. */
function useForgetting(call: Call) {
  useEffect(
    () =>
      call.deviceLasts.subscribe((lasts) => {
        if (!lasts) call.notices.say("warning", ofForgetting.device);
      }),
    [call],
  );
}

/** Letters work anywhere but in text fields; the space bar opens a muted microphone while held. */
function useHotkeys(call: Call, toggle: (panel: PanelName) => void) {
  useEffect(() => {
    const { devices } = call;
    let talking = false;
    const down = (event: KeyboardEvent) => {
      const focused = document.activeElement ?? document.body;
      if (event.key === " " && focused === document.body && !devices.sentMicrophone.value) {
        event.preventDefault();
        talking = true;
        void devices.setMicrophone(true);
        return;
      }
      const actions = {
        microphone: () => void devices.toggleMicrophone(),
        camera: () => void devices.toggleCamera(),
        screen: () => void call.toggleScreen(),
        chat: () => toggle("chat"),
        people: () => toggle("people"),
        previous_page: () => call.media.turn(-1),
        next_page: () => call.media.turn(1),
      };
      const hotkey = hotkeyOf(event, takesText(focused as HTMLElement));
      // In a panel these keys scroll.
      const scrolls = event.key.startsWith("Page") && focused.closest(".panel");
      if (!hotkey || scrolls) return;
      event.preventDefault();
      actions[hotkey]();
    };
    const up = (event: KeyboardEvent) => {
      if (event.key !== " " || !talking) return;
      talking = false;
      void devices.setMicrophone(false);
    };
    addEventListener("keydown", down);
    addEventListener("keyup", up);
    return () => {
      removeEventListener("keydown", down);
      removeEventListener("keyup", up);
    };
  }, [call]);
}
