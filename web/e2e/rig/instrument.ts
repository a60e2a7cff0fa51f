/** What {@link instrument} leaves in the page. */
export interface Instruments {
  /** Every connection that the page has made. */
  connections: RTCPeerConnection[];
}

/** How a page is to differ from a fresh visitor's. */
export interface Conditions {
  /** The quality that was chosen last time. */
  quality: "saver" | "standard" | "high";
  /** How many tiles were chosen for a page. */
  tiles: 9 | 25 | 49;
  /** The only video codec that the browser has, such as "VP9". */
  codec: string | undefined;
}

/** Runs in the page before its own code. Sets the conditions, and keeps hold of the connections,
 * to ask the browser itself what arrives. */
export function instrument({ quality, tiles, codec }: Conditions): void {
  // The empty page that a window opens with has no storage.
  if (location.protocol.startsWith("http") && !localStorage.getItem("conclave.settings")) {
    localStorage.setItem("conclave.settings", JSON.stringify({ quality, tiles }));
  }

  const instruments: Instruments = { connections: [] };
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration?: RTCConfiguration) {
      super(configuration);
      instruments.connections.push(this);
    }
  };
  Object.assign(window, { instruments });

  if (codec) {
    for (const side of [RTCRtpSender, RTCRtpReceiver]) {
      const all = side.getCapabilities.bind(side);
      side.getCapabilities = (kind) => {
        const capabilities = all(kind);
        if (!capabilities || kind !== "video") return capabilities;
        const wanted = [`video/${codec}`.toLowerCase(), "video/rtx"];
        const codecs = capabilities.codecs.filter((one) =>
          wanted.includes(one.mimeType.toLowerCase()),
        );
        return { ...capabilities, codecs };
      };
    }
  }
}
