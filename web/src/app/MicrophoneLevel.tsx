import { useEffect, useMemo, useRef } from "preact/hooks";
import { LevelMeter } from "../call/level";

const BARS = 5;

/** A few bars that move with the voice. */
export function MicrophoneLevel({ track, on }: { track: MediaStreamTrack | null; on: boolean }) {
  const meter = useMemo(() => new LevelMeter(), []);
  const bars = useRef<HTMLDivElement>(null);
  useEffect(() => () => meter.close(), [meter]);
  useEffect(() => meter.listen(on ? track : null), [meter, track, on]);
  useEffect(
    () =>
      meter.level.subscribe((level) => {
        const lit = Math.round(level * BARS);
        const { children } = bars.current ?? {};
        for (const [index, bar] of [...(children ?? [])].entries()) {
          bar.classList.toggle("lit", index < lit);
        }
        bars.current?.setAttribute("aria-valuenow", String(lit));
      }),
    [meter],
  );
  return (
    // biome-ignore lint/a11y/useSemanticElements: browsers let no page draw the bars of a <meter>
    <div
      ref={bars}
      class={`level ${on && track ? "" : "level-off"}`}
      role="meter"
      aria-label="Microphone level"
      aria-valuemin={0}
      aria-valuemax={BARS}
      aria-valuenow={0}
    >
      {Array.from({ length: BARS }, (_, bar) => (
        <i key={`bar ${bar}`} />
      ))}
    </div>
  );
}
