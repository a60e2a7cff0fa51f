import { describe, expect, it } from "vitest";
import { codecOf, payloadTypesOf } from "./codec";

const sdp = [
  "v=0",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
  "a=rtpmap:111 opus/48000/2",
  "a=rtpmap:63 red/48000/2",
  "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 45 102 103",
  "a=rtpmap:96 VP8/90000",
  "a=rtpmap:97 rtx/90000",
  "a=rtpmap:98 VP9/90000",
  "a=rtpmap:45 AV1/90000",
  "a=rtpmap:102 H264/90000",
  "a=rtpmap:103 H265/90000",
].join("\r\n");

describe("the codec of a frame", () => {
  const types = payloadTypesOf(sdp);

  it("is found by payload type", () => {
    expect(types).toEqual({ 111: "opus", 96: "vp8", 98: "vp9", 45: "av1", 102: "h264" });
    expect(codecOf({ payloadType: 96 }, types)).toBe("vp8");
  });

  it("is taken from the MIME type where the browser gives one", () => {
    expect(codecOf({ mimeType: "video/AV1", payloadType: 96 }, types)).toBe("av1");
    expect(codecOf({ mimeType: "video/H264", payloadType: 96 }, types)).toBe("h264");
  });

  it("stays unknown rather than guessed", () => {
    expect(codecOf({}, types)).toBeUndefined();
    expect(codecOf({ payloadType: 63 }, types)).toBeUndefined();
    expect(codecOf({ payloadType: 103 }, types)).toBeUndefined();
    expect(codecOf({ mimeType: "video/H265", payloadType: 96 }, types)).toBeUndefined();
  });
});
