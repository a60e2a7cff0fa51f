import { useSignal } from "@preact/signals";
import { Crown, MicOff, UserRoundX } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import type { Member } from "../protocol/Member";
import { Icon } from "./Icon";
import { ofHosting } from "./words";

interface Props {
  call: Call;
  member: Member;
  onClose: () => void;
}

/** What a host can do about one person. Nothing for anybody else. */
export function HostActions({ call, member, onClose, onRemove }: Props & { onRemove: () => void }) {
  const { hosting } = call;
  const now = call.roster.value.find(({ participant }) => participant === member.participant);
  if (!hosting.mine.value || !now) return null;
  const then = (act: () => void) => () => {
    act();
    onClose();
  };
  return (
    <section class="sheet-section" aria-label={ofHosting.title}>
      <h3>{ofHosting.title}</h3>
      <div class="sheet-actions">
        <button type="button" class="button small" onClick={then(() => hosting.mute(now))}>
          <Icon of={MicOff} size={16} />
          {ofHosting.mute}
        </button>
        <button
          type="button"
          class="button small"
          onClick={then(() => (now.is_host ? hosting.dismiss(now) : hosting.appoint(now)))}
        >
          <Icon of={Crown} size={16} />
          {now.is_host ? ofHosting.dismiss : ofHosting.appoint}
        </button>
        <button type="button" class="button small danger" onClick={onRemove}>
          <Icon of={UserRoundX} size={16} />
          {ofHosting.remove}
        </button>
      </div>
    </section>
  );
}

/** Asks once more before somebody is removed. */
export function Removal({ call, member, onClose }: Props) {
  const changeLink = useSignal(true);
  const safest = useRef<HTMLButtonElement>(null);
  // The button that was pressed is gone.
  useEffect(() => safest.current?.focus(), []);
  return (
    <>
      <header class="sheet-head">
        <h2 id="sheet-title">{ofHosting.removal(member.name)}</h2>
      </header>
      <p>{ofHosting.removalText}</p>
      <label class="choice">
        <input
          type="checkbox"
          checked={changeLink.value}
          onChange={(event) => {
            changeLink.value = event.currentTarget.checked;
          }}
        />
        <span>
          {ofHosting.removalLink}
          <small>{ofHosting.removalLinkText}</small>
        </span>
      </label>
      <div class="sheet-actions">
        <button
          type="button"
          class="button danger"
          onClick={() => {
            call.hosting.remove(member, changeLink.value);
            onClose();
          }}
        >
          {ofHosting.remove}
        </button>
        <button ref={safest} type="button" class="button" onClick={onClose}>
          {ofHosting.cancel}
        </button>
      </div>
    </>
  );
}
