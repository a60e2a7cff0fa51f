import { House, LogIn, PhoneOff } from "lucide";
import { Icon, Mark } from "./Icon";
import { goHome } from "./route";

export function Left({ onRejoin }: { onRejoin: () => void }) {
  return (
    <main class="plain">
      <div class="plain-card">
        <span class="plain-icon calm">
          <Icon of={PhoneOff} size={26} />
        </span>
        <h1>You left the call</h1>
        <p>Camera and microphone are off, and the keys of the call are gone from this device.</p>
        <div class="plain-actions">
          <button type="button" class="button primary" onClick={onRejoin}>
            <Icon of={LogIn} size={18} />
            Rejoin
          </button>
          <button type="button" class="button" onClick={goHome}>
            <Icon of={House} size={18} />
            Go to the start page
          </button>
        </div>
      </div>
      <footer class="plain-foot">
        <Mark size={18} /> Conclave
      </footer>
    </main>
  );
}
