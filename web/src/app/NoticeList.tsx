import { Info, LogIn, LogOut, ShieldAlert, X } from "lucide";
import type { NoticeKind, Notices } from "../call/notices";
import { Icon } from "./Icon";

const ICONS: Readonly<Record<NoticeKind, typeof Info>> = {
  joined: LogIn,
  left: LogOut,
  warning: ShieldAlert,
  info: Info,
};

export function NoticeList({ notices }: { notices: Notices }) {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.list.value.map(({ id, kind, text }) => (
        <div key={id} class={`notice ${kind}`} data-notice={kind}>
          <Icon of={ICONS[kind]} size={18} />
          <span>{text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => notices.dismiss(id)}>
            <Icon of={X} size={16} />
          </button>
        </div>
      ))}
    </div>
  );
}
