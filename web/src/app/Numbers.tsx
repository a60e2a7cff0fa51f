import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Call } from "../call/call";
import type { CallStats } from "../call/stats";
import { ofKeys } from "./words";

const INTERVAL_MS = 1_000;

/** The call in numbers, for those who want to know. */
export function Numbers({ call }: { call: Call }) {
  const stats = useSignal<CallStats | undefined>(undefined);
  useEffect(() => {
    const look = async () => {
      stats.value = await call.stats();
    };
    void look();
    const timer = setInterval(() => void look(), INTERVAL_MS);
    return () => clearInterval(timer);
  }, [call]);
  const { value } = stats;
  if (!value) return null;
  const sealed = value.outgoing.reduce((sum, track) => sum + track.sealed, 0);
  const failed = Object.values(value.openFailures).reduce((sum, times) => sum + times, 0);
  const rows: [string, string][] = [
    ["Connection", value.connection ?? "none"],
    ["Key epoch", value.epoch === null ? "none" : String(value.epoch)],
    ["Frames sealed", String(sealed)],
    ["Frames opened", String(value.framesOpened)],
    ["Frames not opened", String(failed)],
    ["First picture", value.joinToFirstFrameMs === null ? "–" : `${value.joinToFirstFrameMs} ms`],
    ...value.tiles
      .filter(({ self, width }) => !self && width > 0)
      .map(({ name, width, height }): [string, string] => [name, `${width} × ${height}`]),
    ...value.others.map(({ name, epoch, keys }): [string, string] => [
      `Keys of ${name}`,
      epoch === null ? ofKeys[keys] : `epoch ${epoch}, ${ofKeys[keys]}`,
    ]),
  ];
  return (
    <section class="panel-section">
      <h3>Numbers</h3>
      <dl class="numbers">
        {rows.map(([what, much]) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd>{much}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
