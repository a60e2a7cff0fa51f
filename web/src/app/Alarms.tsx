import { ShieldAlert } from "lucide";
import { useRef } from "preact/hooks";
import type { Alarm } from "../people/alarms";
import type { People } from "../people/people";
import type { Member } from "../protocol/Member";
import { Icon } from "./Icon";
import { ofAlarm, ofAlarmActions } from "./words";

interface Props {
  people: People;
  onCheck: (member: Member) => void;
}

/** Warnings that stay until the person has done something about them. */
export function Alarms({ people, onCheck }: Props) {
  const list = useRef<HTMLDivElement>(null);
  /** The pressed button goes with its warning; the next one is at hand for the keyboard. */
  const then = (act: () => void) => () => {
    act();
    requestAnimationFrame(() => {
      const next = list.current?.querySelector("button");
      (next ?? document.querySelector<HTMLElement>(".topbar-right button"))?.focus();
    });
  };
  return (
    <div class="alarms" ref={list}>
      {people.alarms.value.map((alarm) => (
        <Warning
          key={alarm.key}
          alarm={alarm}
          onCheck={() => onCheck(alarm.member)}
          onAccept={then(() => people.accept(alarm.member))}
          onDismiss={then(() => people.dismiss(alarm))}
        />
      ))}
    </div>
  );
}

interface WarningProps {
  alarm: Alarm;
  onCheck: () => void;
  onAccept: () => void;
  onDismiss: () => void;
}

function Warning({ alarm, onCheck, onAccept, onDismiss }: WarningProps) {
  const { title, text } = ofAlarm(alarm);
  const grave = alarm.wasVerified || alarm.kind === "differs";
  return (
    <div class={`alarm ${grave ? "grave" : ""}`} role="alert" data-alarm={alarm.kind}>
      <Icon of={ShieldAlert} size={26} />
      <div class="alarm-text">
        <strong>{title}</strong>
        <p>{text}</p>
      </div>
      <div class="alarm-actions">
        {alarm.present && (
          <button type="button" class="button small primary" onClick={onCheck}>
            {ofAlarmActions.check}
          </button>
        )}
        {alarm.present && alarm.kind === "changed" ? (
          <button type="button" class="button small" onClick={onAccept}>
            {ofAlarmActions.accept}
          </button>
        ) : (
          <button type="button" class="button small" onClick={onDismiss}>
            {ofAlarmActions.dismiss}
          </button>
        )}
      </div>
    </div>
  );
}
