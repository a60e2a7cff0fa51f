import { Copy } from "lucide";
import { useMemo } from "preact/hooks";
import { encode } from "uqr";
import type { Notices } from "../call/notices";
import { copyLink } from "./copy";
import { Icon } from "./Icon";

/** The link to the call, to copy or to point a phone at. */
export function Invitation({ link, notices }: { link: string; notices: Notices }) {
  return (
    <div class="invitation">
      <QrCode text={link} />
      <div class="invitation-link">
        <code>{link.replace(/^https?:\/\//, "")}</code>
        <button
          type="button"
          class="button small primary"
          aria-label="Copy invitation link"
          onClick={() => void copyLink(link, notices)}
        >
          <Icon of={Copy} size={16} />
          Copy
        </button>
      </div>
    </div>
  );
}

function QrCode({ text }: { text: string }) {
  const { size, path } = useMemo(() => {
    const { data, size } = encode(text, { ecc: "M", border: 2 });
    const dots = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")));
    return { size, path: dots.join("") };
  }, [text]);
  return (
    <svg
      class="qr"
      viewBox={`0 0 ${size} ${size}`}
      shape-rendering="crispEdges"
      role="img"
      aria-label="QR code of the link"
    >
      <path d={path} />
    </svg>
  );
}
