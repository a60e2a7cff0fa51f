import { useSignal } from "@preact/signals";
import { X } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import type { Member } from "../protocol/Member";
import { Digits } from "./Digits";
import { HostActions, Removal } from "./HostActions";
import { Icon } from "./Icon";
import { ofCheck } from "./words";

interface Props {
  call: Call;
  /** As they were when they were chosen: they may leave meanwhile. */
  member: Member;
  onClose: () => void;
}

/** Where two people compare their digits, and say what came of it. */
export function PersonSheet({ call, member, onClose }: Props) {
  const sheet = useRef<HTMLDialogElement>(null);
  const differed = useSignal(false);
  const removing = useSignal(false);
  useEffect(() => {
    const before = document.activeElement;
    sheet.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog ref={sheet} class="sheet" aria-labelledby="sheet-title" onClose={onClose}>
      {removing.value ? (
        <Removal call={call} member={member} onClose={onClose} />
      ) : differed.value ? (
        <WhatNow call={call} member={member} onClose={onClose} />
      ) : (
        <Comparison
          call={call}
          member={member}
          onClose={onClose}
          onDiffer={() => {
            call.people.distrust(member);
            differed.value = true;
          }}
          onRemove={() => {
            removing.value = true;
          }}
        />
      )}
    </dialog>
  );
}

interface ComparisonProps extends Props {
  onDiffer: () => void;
  onRemove: () => void;
}

function Comparison({ call, member, onClose, onDiffer, onRemove }: ComparisonProps) {
  const { name, pair_code } = member;
  const met = call.people.recall(member.device);
  const verify = () => {
    call.people.verify(member);
    call.notices.say("info", ofCheck.done(name));
    onClose();
  };
  return (
    <>
      <header class="sheet-head">
        <h2 id="sheet-title">{ofCheck.title(name)}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={onClose}>
          <Icon of={X} size={20} />
        </button>
      </header>
      <p>{ofCheck.how(name)}</p>
      {pair_code && <Digits of={pair_code} label="Digits to compare" />}
      <p class="sheet-note">{ofCheck.where(name)}</p>
      {met && met.differed !== null && (
        <p class="sheet-warning">{ofCheck.differedOn(name, day(met.differed))}</p>
      )}
      {met && met.verified !== null ? (
        <>
          <p class="sheet-note">
            {ofCheck.verifiedOn(met.names.at(-1) ?? name, day(met.verified))}
          </p>
          <div class="sheet-actions">
            <button type="button" class="button" onClick={onDiffer}>
              {ofCheck.differ}
            </button>
            <button type="button" class="button" onClick={() => call.people.unmark(member)}>
              {ofCheck.unmark}
            </button>
          </div>
        </>
      ) : (
        <div class="sheet-actions">
          <button type="button" class="button primary" onClick={verify}>
            {ofCheck.same}
          </button>
          <button type="button" class="button" onClick={onDiffer}>
            {ofCheck.differ}
          </button>
        </div>
      )}
      <HostActions call={call} member={member} onClose={onClose} onRemove={onRemove} />
    </>
  );
}

/** After the digits differed. */
function WhatNow({ call, member, onClose }: Props) {
  const { title, text, lasting, leave, stay } = ofCheck.whatNow;
  const safest = useRef<HTMLButtonElement>(null);
  // The button that was pressed is gone.
  useEffect(() => safest.current?.focus(), []);
  return (
    <>
      <header class="sheet-head">
        <h2 id="sheet-title">{title(member.name)}</h2>
      </header>
      <p role="alert">{text}</p>
      <p class="sheet-note">{lasting}</p>
      <div class="sheet-actions">
        <button
          ref={safest}
          type="button"
          class="button danger"
          onClick={() => {
            onClose();
            call.leave();
          }}
        >
          {leave}
        </button>
        <button type="button" class="button" onClick={onClose}>
          {stay}
        </button>
      </div>
    </>
  );
}

function day(time: number): string {
  return new Date(time).toLocaleDateString(undefined, { dateStyle: "long" });
}
