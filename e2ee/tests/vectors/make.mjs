// Writes the test vectors beside it, with nothing but node's own cryptography: a second
// implementation of what the crate does, to compare it with.
//
//     node e2ee/tests/vectors/make.mjs
import { createCipheriv, createHash, hkdfSync } from "node:crypto";
import { writeFileSync } from "node:fs";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytes = (text) => Buffer.from(text, "hex");

// --- What a link's secret yields ----------------------------------------------------------

const derive = (secret, label, room) =>
  hex(hkdfSync("sha256", secret, Buffer.alloc(0), `conclave 1 ${label} ${room}`, 32));

const links = [
  ["000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "standup"],
  ["ff".repeat(32), "a_room-with-64-characters".padEnd(64, "x")],
].map(([secret, room]) => ({
  secret,
  room,
  fragment: bytes(secret).toString("base64url"),
  psk: derive(bytes(secret), "mls-psk", room),
  auth: derive(bytes(secret), "room-auth", room),
  wrap: derive(bytes(secret), "group-info-wrap", room),
  psk_id: derive(bytes(secret), "psk-id", room),
}));

// --- Sealed frames (RFC 9605 §4) -----------------------------------------------------------

const bigEndian = (value, length) => {
  const out = Buffer.alloc(length);
  out.writeUIntBE(value, length - Math.min(length, 6), Math.min(length, 6));
  return out;
};

// §4.4.2: the suite is AES_128_GCM_SHA256_128, number 4.
const expand = (baseKey, label, kid, length) =>
  Buffer.from(
    hkdfSync(
      "sha256",
      baseKey,
      Buffer.alloc(0),
      Buffer.concat([Buffer.from(`SFrame 1.0 Secret ${label} `), bigEndian(kid, 8), bigEndian(4, 2)]),
      length,
    ),
  );

// §4.3: one byte that says how the key id and the counter are written, then those.
const header = (kid, counter) => {
  const field = (value) => {
    if (value < 8) return [value, Buffer.alloc(0)];
    const length = Math.ceil(value.toString(16).length / 2);
    return [8 | (length - 1), bigEndian(value, length)];
  };
  const [k, kBytes] = field(kid);
  const [c, cBytes] = field(counter);
  return Buffer.concat([Buffer.from([(k << 4) | c]), kBytes, cBytes]);
};

const sframe = (baseKey, kid, counter, metaData, secret) => {
  const head = header(kid, counter);
  const nonce = expand(baseKey, "salt", kid, 12);
  bigEndian(counter, 12).forEach((byte, index) => {
    nonce[index] ^= byte;
  });
  const cipher = createCipheriv("aes-128-gcm", expand(baseKey, "key", kid, 16), nonce);
  cipher.setAAD(Buffer.concat([head, metaData]));
  return Buffer.concat([head, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
};

const leb128 = (value) => {
  const out = [];
  for (; value > 127; value >>= 7) out.push((value & 127) | 128);
  return Buffer.from([...out, value]);
};

const LAYOUT = 1;
const CODECS = { opus: 0, vp8: 1, vp9: 2, av1: 3, h264: 4 };

const frame = ({ codec, baseKey, context, leaf, epoch, counter, clear, rest, dropped = "" }) => {
  const kid = (context << 18) | (leaf << 8) | epoch % 256;
  const metaData = Buffer.concat([Buffer.from([LAYOUT, CODECS[codec]]), bytes(clear)]);
  const sealed = sframe(bytes(baseKey), kid, counter, metaData, bytes(rest));
  const unit = codec === "av1" ? [Buffer.from([0x32]), leb128(sealed.length)] : [];
  return {
    codec,
    base_key: baseKey,
    context,
    leaf,
    epoch,
    counter,
    frame: dropped + clear + rest,
    opened: clear + rest,
    sealed: hex(Buffer.concat([bytes(clear), ...unit, sealed])),
  };
};

// ITU-T H.264 §7.4.1: no start code inside of a unit, and 80 at its end.
const escaped = (inside) => {
  const text = hex(Buffer.concat([inside, Buffer.from([0x80])])).replace(/../g, "$& ");
  return bytes(text.replace(/00 00 (?=0[0-3] )/g, "00 00 03 ").replaceAll(" ", ""));
};

// Everything is encrypted; `clear` is copied out of it. Its last four bytes are escaped as well.
const h264 = ({ codec, baseKey, context, leaf, epoch, counter, clear, rest }) => {
  const kid = (context << 18) | (leaf << 8) | epoch % 256;
  const metaData = Buffer.concat([Buffer.from([LAYOUT, CODECS[codec]]), bytes(clear)]);
  const sealed = sframe(bytes(baseKey), kid, counter, metaData, bytes(rest));
  const inside = escaped(Buffer.concat([bytes(clear.slice(-8)), sealed]));
  return {
    codec,
    base_key: baseKey,
    context,
    leaf,
    epoch,
    counter,
    frame: rest,
    opened: rest,
    sealed: clear.slice(0, -8) + hex(inside),
  };
};

const baseKey = "000102030405060708090a0b0c0d0e0f";
const frames = [
  { codec: "opus", context: 0, leaf: 0, epoch: 0, counter: 0, clear: "", rest: "fc0102" },
  { codec: "opus", context: 7, leaf: 1023, epoch: 31, counter: 300, clear: "", rest: "78" },
  {
    codec: "vp8",
    context: 3,
    leaf: 2,
    epoch: 5,
    counter: 7,
    clear: "10020a9d012a4001b400",
    rest: "aabbccdd",
  },
  { codec: "vp8", context: 4, leaf: 500, epoch: 16, counter: 8, clear: "31", rest: "0102030405" },
  { codec: "vp9", context: 1, leaf: 12, epoch: 1_000_003, counter: 0, clear: "", rest: "8249834200" },
  {
    codec: "av1",
    context: 2,
    leaf: 9,
    epoch: 2,
    counter: 1,
    dropped: "1200",
    clear: "0a03070809",
    rest: `32c801${"5a".repeat(200)}`,
  },
  { codec: "av1", context: 2, leaf: 9, epoch: 2, counter: 2, clear: "", rest: "320201ff" },
  // A delimiter, both kinds of parameters and two slices.
  {
    codec: "h264",
    context: 3,
    leaf: 6,
    epoch: 4,
    counter: 3,
    clear: "000000016742e01f0000000168ce3880000000016588840000",
    rest: `0000000109100000016742e01f00000168ce3880000001658884000003${"5a".repeat(60)}00000165082200`,
  },
  // Its slice is so short that zeros stand for what is missing, and have to be escaped.
  {
    codec: "h264",
    context: 1,
    leaf: 6,
    epoch: 4,
    counter: 0,
    clear: "00000001419a000000",
    rest: "000001419a",
  },
].map((vector) => (vector.codec === "h264" ? h264 : frame)({ baseKey, ...vector }));

// --- Sealed files (STREAM over AES-256-GCM) -------------------------------------------------

const CHUNK = 1 << 20;

/** What a file is filled with: the same in every language. */
const content = (size) => Buffer.from(Array.from({ length: size }, (_, at) => (at * 31) % 251));

const fileChunk = (key, prefix, number, isLast, chunk) => {
  const nonce = Buffer.concat([prefix, bigEndian(number, 4), Buffer.from([isLast ? 1 : 0])]);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  return Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
};

const sealedFile = (key, prefix, size) => {
  const whole = content(size);
  const chunks = Math.max(1, Math.ceil(size / CHUNK));
  return Array.from({ length: chunks }, (_, number) => {
    const chunk = whole.subarray(number * CHUNK, (number + 1) * CHUNK);
    return fileChunk(key, prefix, number, number === chunks - 1, chunk);
  });
};

const fileKey = bytes("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
const filePrefix = bytes("f0f1f2f3f4f5f6");
const files = [0, 1, 1000, CHUNK, CHUNK + 1, 2 * CHUNK + 12_345].map((size) => {
  const chunks = sealedFile(fileKey, filePrefix, size);
  return {
    key: Buffer.concat([fileKey, filePrefix]).toString("base64url"),
    size,
    sealed_bytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    // The bytes where they are few.
    sealed: size > 1000 ? null : hex(chunks[0]),
    // The SHA-256 of each chunk.
    digests: chunks.map((chunk) => createHash("sha256").update(chunk).digest("hex")),
  };
});

const write = (name, vectors) =>
  writeFileSync(new URL(name, import.meta.url), `${JSON.stringify(vectors, null, 2)}\n`);
write("links.json", links);
write("frames.json", frames);
write("files.json", files);
