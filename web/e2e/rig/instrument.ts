/** What {@link instrument} leaves in the page. */
export interface Instruments {
  /** Every connection that the page has made. */
  connections: RTCPeerConnection[];
  /** Every worker that the page has started, by its name. */
  workers: Map<string, Worker>;
}

/** How a page is to differ from a fresh visitor's. */
export interface Conditions {
  /** The quality that was chosen last time. */
  quality: "saver" | "standard" | "high";
  /** How many tiles were chosen for a page. */
  tiles: 9 | 25 | 49;
  /** The only video codec that the browser has, such as "VP9". */
  codec: string | undefined;
  /** How many cores the machine is said to have; otherwise it is asked. */
  cores: number | undefined;
  /** Whether the machine has a camera and a microphone. Pictures cost most of a test's time. */
  devices: boolean;
}

/** Runs in the page before its own code. Sets the conditions, and keeps hold of the connections,
 * to ask the browser itself what arrives. */
export function instrument({ quality, tiles, codec, cores, devices }: Conditions): void {
  // The empty page that a window opens with has no storage.
  if (location.protocol.startsWith("http") && !localStorage.getItem("conclave.settings")) {
    localStorage.setItem("conclave.settings", JSON.stringify({ quality, tiles }));
  }

  const instruments: Instruments = { connections: [], workers: new Map() };
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration?: RTCConfiguration) {
      super(configuration);
      instruments.connections.push(this);
    }
  };
  window.Worker = class extends Worker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      instruments.workers.set(options?.name ?? "", this);
    }
  };
  Object.assign(window, { instruments });
  if (cores) Object.defineProperty(navigator, "hardwareConcurrency", { value: cores });

  if (!devices && navigator.mediaDevices) {
    navigator.mediaDevices.getUserMedia = () =>
      Promise.reject(new DOMException("there is none", "NotFoundError"));
    navigator.mediaDevices.enumerateDevices = () => Promise.resolve([]);
  }

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
