import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import { ofHosting } from "./words";

/** Asks the only host of a guarded call once more: the door stays as it is without one. */
export function LeaveSheet({ call, onStay }: { call: Call; onStay: () => void }) {
  const sheet = useRef<HTMLDialogElement>(null);
  useEffect(() => sheet.current?.showModal(), []);
  return (
    <dialog ref={sheet} class="sheet" aria-labelledby="leave-title" onClose={onStay}>
      <header class="sheet-head">
        <h2 id="leave-title">{ofHosting.leaveTitle}</h2>
      </header>
      <p>{ofHosting.leaveText}</p>
      <div class="sheet-actions">
        <button type="button" class="button primary" onClick={onStay}>
          {ofHosting.stay}
        </button>
        <button type="button" class="button danger" onClick={() => call.leave()}>
          {ofHosting.leaveAnyway}
        </button>
      </div>
    </dialog>
  );
}
