/** What this browser must be able to do before it can take part in a call. */

export type Lack = "insecure" | "transform" | "webrtc";

export function whatIsMissing(): Lack | undefined {
  if (!isSecureContext || !navigator.mediaDevices) return "insecure";
  if (!("RTCPeerConnection" in globalThis) || !("WebAssembly" in globalThis)) return "webrtc";
  if (!("RTCRtpScriptTransform" in globalThis)) return "transform";
  return undefined;
}
