/** How loud a microphone is right now, for a meter and for "you are muted". */
import { type Signal, signal } from "@preact/signals";

const INTERVAL_MS = 60;
/** Quieter than this is silence, full scale is speech close to the microphone. */
const FLOOR_DB = -60;
const CEILING_DB = -15;

/** Samples in [-1, 1] to a level in [0, 1] on a logarithmic scale. */
export function levelOf(samples: Float32Array): number {
  let energy = 0;
  for (const sample of samples) energy += sample * sample;
  const decibels = 10 * Math.log10(energy / Math.max(samples.length, 1) + 1e-12);
  return Math.min(1, Math.max(0, (decibels - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}

export class LevelMeter {
  readonly level: Signal<number> = signal(0);
  #context: AudioContext | undefined;
  #source: MediaStreamAudioSourceNode | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Listens to another track from now on. */
  listen(track: MediaStreamTrack | null): void {
    this.#source?.disconnect();
    this.#source = undefined;
    clearInterval(this.#timer);
    this.level.value = 0;
    if (!track) return;
    this.#context ??= new AudioContext();
    void this.#context.resume();
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      // Rises at once and falls slowly, which is what a meter should do.
      this.level.value = Math.max(levelOf(samples), this.level.value * 0.85);
    }, INTERVAL_MS);
  }

  close(): void {
    this.listen(null);
    void this.#context?.close();
    this.#context = undefined;
  }
}
