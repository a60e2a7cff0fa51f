import { useSignal } from "@preact/signals";
import { Lock, LogIn, Mic, MicOff, Video, VideoOff } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import type { Devices } from "../call/devices";
import type { Link } from "../call/link";
import { cleanName, initials } from "../call/roster";
import { loadSettings } from "../call/settings";
import { Avatar } from "./Avatar";
import { CameraPicker, MicrophonePicker, SpeakerPicker } from "./DevicePickers";
import { Icon, Mark } from "./Icon";
import { MicrophoneLevel } from "./MicrophoneLevel";
import { goHome } from "./route";
import { TrackVideo } from "./TrackVideo";
import { ofDevices } from "./words";

/** Longer names would not fit on a tile. */
const LONGEST_NAME = 48;

interface Props {
  link: Link;
  devices: Devices;
  onJoin: (name: string) => void;
}

/** Before the call: how you will look and sound to the others. */
export function Lobby({ link, devices, onJoin }: Props) {
  const name = useSignal(loadSettings().name);
  const wrong = useSignal(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    void devices.open();
    if (!name.value) field.current?.focus();
  }, [devices]);

  const submit = (event: Event) => {
    event.preventDefault();
    const clean = cleanName(name.value);
    wrong.value = clean === "";
    if (clean) onJoin(clean);
    else field.current?.focus();
  };

  return (
    <div class="lobby">
      <header class="lobby-head">
        <button type="button" class="brand" onClick={goHome}>
          <Mark size={24} /> Conclave
        </button>
      </header>
      <main class="lobby-main">
        <section class="lobby-preview" aria-label="Preview">
          <Preview devices={devices} name={name.value} />
          <Problems devices={devices} />
        </section>
        <form class="lobby-form" onSubmit={submit} noValidate>
          <h1>Ready to join?</h1>
          <p class="lobby-room">
            Call <strong>{link.room}</strong>
          </p>
          <label class="field">
            <span>Your name</span>
            <input
              ref={field}
              type="text"
              name="name"
              autocomplete="name"
              maxLength={LONGEST_NAME}
              aria-invalid={wrong.value}
              aria-describedby={wrong.value ? "name-wrong" : undefined}
              value={name}
              onInput={(event) => {
                name.value = event.currentTarget.value;
                wrong.value = false;
              }}
            />
          </label>
          {wrong.value && (
            <p class="field-wrong" id="name-wrong" role="alert">
              Tell the others who you are.
            </p>
          )}
          <CameraPicker devices={devices} />
          <MicrophonePicker devices={devices} />
          <SpeakerPicker devices={devices} />
          <button type="submit" class="button primary large wide">
            <Icon of={LogIn} />
            Join
          </button>
          <p class="lobby-promise">
            <Icon of={Lock} size={15} />
            Only people with the link can see and hear you. The server can’t.
          </p>
        </form>
      </main>
    </div>
  );
}

function Preview({ devices, name }: { devices: Devices; name: string }) {
  const camera = devices.sentCamera.value;
  const microphone = devices.sentMicrophone.value;
  return (
    <div class="preview">
      <TrackVideo track={camera} mirrored label="Camera preview" />
      {!camera && (
        <div class="preview-off">
          <Avatar name={name} text={name.trim() ? initials(name) : "?"} />
          <p>{devices.asking.value ? "Waiting for your permission…" : "Your camera is off"}</p>
        </div>
      )}
      <div class="preview-level">
        <MicrophoneLevel track={devices.microphone.value} on={microphone !== null} />
      </div>
      <div class="preview-buttons">
        <button
          type="button"
          class={`round ${microphone ? "" : "off"}`}
          aria-label={microphone ? "Mute microphone" : "Unmute microphone"}
          onClick={() => void devices.toggleMicrophone()}
        >
          <Icon of={microphone ? Mic : MicOff} />
        </button>
        <button
          type="button"
          class={`round ${camera ? "" : "off"}`}
          aria-label={camera ? "Turn camera off" : "Turn camera on"}
          onClick={() => void devices.toggleCamera()}
        >
          <Icon of={camera ? Video : VideoOff} />
        </button>
      </div>
    </div>
  );
}

/** What keeps a device from working, and what the person can do about it. */
export function Problems({ devices }: { devices: Devices }) {
  const { camera, microphone } = devices.problems.value;
  const said = ofDevices({
    ...(camera && devices.cameraOn.value && { camera }),
    ...(microphone && { microphone }),
  });
  if (said.length === 0) return null;
  return (
    <div class="problems" role="status">
      {said.map((text) => (
        <p key={text}>{text}</p>
      ))}
      <button type="button" class="button small" onClick={() => void devices.open()}>
        Try again
      </button>
    </div>
  );
}
