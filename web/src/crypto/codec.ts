/** Codecs whose frames we can seal. The clear bytes of a sealed frame depend on them. */

export type Codec = "opus" | "vp8" | "vp9" | "av1" | "h264";

/** RTP payload types of one negotiated connection (RFC 8866 §6.6, `a=rtpmap`). */
export type PayloadTypes = Readonly<Record<number, Codec>>;

/** The codec that a MIME type such as `video/VP8` names. */
export function codecOfMime(mime: string): Codec | undefined {
  switch (mime.toLowerCase()) {
    case "audio/opus":
      return "opus";
    case "video/vp8":
      return "vp8";
    case "video/vp9":
      return "vp9";
    case "video/av1":
      return "av1";
    case "video/h264":
      return "h264";
    default:
      return undefined;
  }
}

/**
 * The codec of a frame by what the browser tells about it. None means that the frame must
 * not pass: it could neither be sealed nor opened by the right rule.
 */
export function codecOf(
  metadata: { mimeType?: string; payloadType?: number },
  payloadTypes: PayloadTypes,
): Codec | undefined {
  if (metadata.mimeType) return codecOfMime(metadata.mimeType);
  if (metadata.payloadType === undefined) return undefined;
  return payloadTypes[metadata.payloadType];
}

/** Reads the payload types out of a session description. */
export function payloadTypesOf(sdp: string): PayloadTypes {
  const found: Record<number, Codec> = {};
  let kind = "";
  for (const line of sdp.split(/\r?\n/)) {
    kind = /^m=(\w+) /.exec(line)?.[1] ?? kind;
    const [, number, name] = /^a=rtpmap:(\d+) ([^/]+)\//.exec(line) ?? [];
    const codec = name && codecOfMime(`${kind}/${name}`);
    if (codec) found[Number(number)] = codec;
  }
  return found;
}
