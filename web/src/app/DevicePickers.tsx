import type { ReadonlySignal } from "@preact/signals";
import { canChooseSpeaker, type Devices } from "../call/devices";
import type { Quality } from "../call/settings";

interface PickerProps {
  label: string;
  devices: ReadonlySignal<readonly MediaDeviceInfo[]>;
  chosen: string;
  onChoose: (id: string) => void;
}

function Picker({ label, devices, chosen, onChoose }: PickerProps) {
  const options = devices.value.filter(({ deviceId }) => deviceId !== "");
  // A device that was chosen last time may be gone, or none was ever chosen.
  const known = options.some(({ deviceId }) => deviceId === chosen);
  return (
    <label class="field">
      <span>{label}</span>
      <select
        value={known ? chosen : (options[0]?.deviceId ?? "")}
        disabled={options.length === 0}
        onChange={(event) => onChoose(event.currentTarget.value)}
      >
        {options.length === 0 && <option value="">System default</option>}
        {options.map(({ deviceId, label: name }, index) => (
          <option key={deviceId} value={deviceId}>
            {name || `${label} ${index + 1}`}
          </option>
        ))}
      </select>
    </label>
  );
}

export function CameraPicker({ devices }: { devices: Devices }) {
  return (
    <Picker
      label="Camera"
      devices={devices.cameras}
      chosen={devices.cameraId.value}
      onChoose={(id) => void devices.chooseCamera(id)}
    />
  );
}

export function MicrophonePicker({ devices }: { devices: Devices }) {
  return (
    <Picker
      label="Microphone"
      devices={devices.microphones}
      chosen={devices.microphoneId.value}
      onChoose={(id) => void devices.chooseMicrophone(id)}
    />
  );
}

export function SpeakerPicker({ devices }: { devices: Devices }) {
  if (!canChooseSpeaker || devices.speakers.value.length === 0) return null;
  return (
    <Picker
      label="Speaker"
      devices={devices.speakers}
      chosen={devices.speakerId.value}
      onChoose={(id) => devices.chooseSpeaker(id)}
    />
  );
}

const QUALITIES: readonly { readonly value: Quality; readonly label: string }[] = [
  { value: "high", label: "High (720p)" },
  { value: "standard", label: "Standard (360p)" },
  { value: "saver", label: "Data saver (180p)" },
];

export function QualityPicker({ devices }: { devices: Devices }) {
  return (
    <label class="field">
      <span>Picture you send</span>
      <select
        value={devices.quality.value}
        onChange={(event) => void devices.chooseQuality(event.currentTarget.value as Quality)}
      >
        {QUALITIES.map(({ value, label }) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}
