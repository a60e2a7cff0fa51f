/** What this browser must be able to do before it can take part in a call. */
import { generatePair } from "../crypto/device";

export type Lack = "insecure" | "signatures" | "transform" | "webrtc";

export function whatIsMissing(): Lack | undefined {
  if (!isSecureContext || !navigator.mediaDevices) return "insecure";
  if (!("RTCPeerConnection" in globalThis) || !("WebAssembly" in globalThis)) return "webrtc";
  if (!("RTCRtpScriptTransform" in globalThis)) return "transform";
  return undefined;
}

/** Whether it can sign with Ed25519, by which devices are known again. Only trying tells. */
export async function canSign(): Promise<boolean> {
  return generatePair().then(
    () => true,
    () => false,
  );
}
