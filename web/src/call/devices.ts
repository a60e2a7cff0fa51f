/** The camera, the microphone, the screen and the loudspeaker of this person. */
import { batch, computed, signal } from "@preact/signals";
import { loadSettings, PICTURES, type Quality, saveSettings } from "./settings";

/** Why a device cannot be used. */
export type DeviceProblem = "denied" | "missing" | "busy" | "unknown";

export type DeviceKind = "camera" | "microphone";

export interface DeviceTrouble {
  readonly kind: DeviceKind;
  readonly problem: DeviceProblem;
}

export interface SharedScreen {
  readonly picture: MediaStreamTrack;
  readonly sound: MediaStreamTrack | null;
}

/** Speakers can be chosen in browsers that let a page route sound. */
export const canChooseSpeaker = "setSinkId" in HTMLMediaElement.prototype;
export const canShareScreen = "getDisplayMedia" in (navigator.mediaDevices ?? {});

export class Devices {
  readonly cameras = signal<readonly MediaDeviceInfo[]>([]);
  readonly microphones = signal<readonly MediaDeviceInfo[]>([]);
  readonly speakers = signal<readonly MediaDeviceInfo[]>([]);
  readonly cameraId = signal("");
  readonly microphoneId = signal("");
  readonly speakerId = signal("");
  readonly quality = signal<Quality>("high");

  /** What the person wants; the device may be missing all the same. */
  readonly cameraOn = signal(true);
  readonly microphoneOn = signal(true);
  readonly camera = signal<MediaStreamTrack | null>(null);
  readonly microphone = signal<MediaStreamTrack | null>(null);
  readonly screen = signal<SharedScreen | null>(null);
  readonly problems = signal<Readonly<Partial<Record<DeviceKind, DeviceProblem>>>>({});
  /** The last thing that went wrong; a new object each time, even when it is the same again. */
  readonly trouble = signal<DeviceTrouble | undefined>(undefined);
  /** True while the browser asks the person for permission. */
  readonly asking = signal(false);

  /** What may be sent now. A muted microphone stays open, so that it can be heard at once. */
  readonly sentCamera = computed(() => (this.cameraOn.value ? this.camera.value : null));
  readonly sentMicrophone = computed(() =>
    this.microphoneOn.value ? this.microphone.value : null,
  );

  constructor() {
    const settings = loadSettings();
    this.cameraId.value = settings.cameraId;
    this.microphoneId.value = settings.microphoneId;
    this.speakerId.value = settings.speakerId;
    this.cameraOn.value = settings.cameraOn;
    this.microphoneOn.value = settings.microphoneOn;
    this.quality.value = settings.quality;
    navigator.mediaDevices.addEventListener("devicechange", () => void this.#list());
  }

  /** Opens what is wanted, with one question to the person where the browser allows that. */
  async open(): Promise<void> {
    const wanted: DeviceKind[] = [];
    if (this.cameraOn.value && !this.camera.value) wanted.push("camera");
    if (!this.microphone.value) wanted.push("microphone");
    this.asking.value = true;
    try {
      if (wanted.length === 2 && (await this.#capture(wanted))) return;
      for (const kind of wanted) await this.#capture([kind]);
    } finally {
      this.asking.value = false;
      await this.#list();
    }
  }

  async toggleCamera(): Promise<void> {
    const on = !(this.cameraOn.value && this.camera.value);
    saveSettings({ cameraOn: on });
    this.cameraOn.value = on;
    if (on) await this.#reopen("camera");
    else this.#drop("camera");
  }

  async toggleMicrophone(): Promise<void> {
    await this.setMicrophone(!(this.microphoneOn.value && this.microphone.value));
    saveSettings({ microphoneOn: this.microphoneOn.value });
  }

  async setMicrophone(on: boolean): Promise<void> {
    this.microphoneOn.value = on;
    if (on && !this.microphone.value) await this.#reopen("microphone");
  }

  async chooseCamera(id: string): Promise<void> {
    saveSettings({ cameraId: id });
    this.cameraId.value = id;
    if (this.cameraOn.value) await this.#reopen("camera");
  }

  async chooseMicrophone(id: string): Promise<void> {
    saveSettings({ microphoneId: id });
    this.microphoneId.value = id;
    await this.#reopen("microphone");
  }

  chooseSpeaker(id: string): void {
    saveSettings({ speakerId: id });
    this.speakerId.value = id;
  }

  async chooseQuality(quality: Quality): Promise<void> {
    saveSettings({ quality });
    this.quality.value = quality;
    if (this.camera.value) await this.#reopen("camera");
  }

  /** False: the person changed their mind, or the browser does not let them. */
  async shareScreen(): Promise<boolean> {
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true });
      const [picture] = stream.getVideoTracks();
      if (!picture) return false;
      picture.contentHint = "detail";
      picture.addEventListener("ended", () => this.stopScreen());
      this.screen.value = { picture, sound: stream.getAudioTracks()[0] ?? null };
      return true;
    } catch {
      return false;
    }
  }

  stopScreen(): void {
    this.screen.value?.picture.stop();
    this.screen.value?.sound?.stop();
    this.screen.value = null;
  }

  /** Switches everything off: no light stays on after a call. */
  close(): void {
    batch(() => {
      this.#drop("camera");
      this.#drop("microphone");
      this.stopScreen();
    });
  }

  async #reopen(kind: DeviceKind): Promise<void> {
    this.#drop(kind);
    await this.#capture([kind]);
    await this.#list();
  }

  async #capture(kinds: readonly DeviceKind[]): Promise<boolean> {
    const constraints: MediaStreamConstraints = {};
    if (kinds.includes("camera")) constraints.video = this.#cameraConstraints();
    if (kinds.includes("microphone")) constraints.audio = this.#microphoneConstraints();
    try {
      const stream = await navigator.mediaDevices.getUserMedia(constraints);
      batch(() => {
        for (const kind of kinds) this.#take(kind, stream);
      });
      return true;
    } catch (error) {
      const [kind, other] = kinds;
      if (kind && !other) this.#complain(kind, problemOf(error));
      return false;
    }
  }

  #take(kind: DeviceKind, stream: MediaStream): void {
    const [track] = kind === "camera" ? stream.getVideoTracks() : stream.getAudioTracks();
    if (!track) return;
    // The person may have switched it off while the browser was still asking.
    if (kind === "camera" && !this.cameraOn.value) {
      track.stop();
      return;
    }
    const { [kind]: _solved, ...others } = this.problems.value;
    this.problems.value = others;
    track.addEventListener("ended", () => {
      if (this[kind].value !== track) return;
      this[kind].value = null;
      this.#complain(kind, "missing");
    });
    this[kind].value = track;
  }

  #drop(kind: DeviceKind): void {
    const track = this[kind].value;
    this[kind].value = null;
    track?.stop();
  }

  #complain(kind: DeviceKind, problem: DeviceProblem): void {
    batch(() => {
      this.problems.value = { ...this.problems.value, [kind]: problem };
      this.trouble.value = { kind, problem };
    });
  }

  #cameraConstraints(): MediaTrackConstraints {
    const { width, height, fps } = PICTURES[this.quality.value];
    return {
      width: { ideal: width },
      height: { ideal: height },
      frameRate: { ideal: fps, max: fps },
      ...(this.cameraId.value && { deviceId: { ideal: this.cameraId.value } }),
    };
  }

  #microphoneConstraints(): MediaTrackConstraints {
    return {
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
      ...(this.microphoneId.value && { deviceId: { ideal: this.microphoneId.value } }),
    };
  }

  async #list(): Promise<void> {
    const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    const of = (kind: MediaDeviceKind) => devices.filter((device) => device.kind === kind);
    batch(() => {
      this.cameras.value = of("videoinput");
      this.microphones.value = of("audioinput");
      this.speakers.value = of("audiooutput");
      const inUse = (track: MediaStreamTrack | null) => track?.getSettings().deviceId;
      this.cameraId.value = inUse(this.camera.value) ?? this.cameraId.value;
      this.microphoneId.value = inUse(this.microphone.value) ?? this.microphoneId.value;
    });
  }
}

function problemOf(error: unknown): DeviceProblem {
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "missing";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "unknown";
  }
}
