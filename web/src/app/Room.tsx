import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { Call } from "../call/call";
import { Devices } from "../call/devices";
import type { Ending } from "../call/ending";
import type { Link } from "../call/link";
import { saveSettings } from "../call/settings";
import { prepare } from "../call/workers";
import { CallView } from "./CallView";
import { Left } from "./Left";
import { Lobby } from "./Lobby";
import { Problem } from "./Problem";
import { explain, sentence } from "./words";

declare global {
  interface Window {
    /** Numbers about the call, for tests and for the curious. Nothing in it is secret. */
    conclave?: { readonly stats: Call["stats"] };
  }
}

/** Everything that happens behind one link: before the call, in it, and after it. */
export function Room({ link }: { link: Link }) {
  const devices = useMemo(() => new Devices(), []);
  const call = useSignal<Call | undefined>(undefined);
  const running = call.value;

  useEffect(() => {
    document.title = "Conclave – call";
    // Loaded while the person still looks into the camera. Joining tells if it fails.
    prepare().catch(() => undefined);
    return () => {
      call.value?.leave();
      devices.close();
      delete window.conclave;
    };
  }, []);

  const join = (name: string) => {
    saveSettings({ name });
    const joined = new Call(call.value?.link.value ?? link, name, devices);
    window.conclave = { stats: () => joined.stats() };
    call.value = joined;
  };
  const rejoin = async (name: string) => {
    await devices.open();
    join(name);
  };

  if (!running) return <Lobby link={link} devices={devices} onJoin={join} />;
  const ending: Ending | undefined = running.ending.value;
  if (!ending) return <CallView call={running} />;
  const again = () => void rejoin(running.name);
  if (ending.kind === "left") return <Left onRejoin={again} />;
  if (ending.kind === "decided") {
    return <Problem title={sentence(ending.reason)} text="" retry onRetry={again} />;
  }
  return <Problem {...explain(ending.code, ending.detail)} onRetry={again} />;
}
