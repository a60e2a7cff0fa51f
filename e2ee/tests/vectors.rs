//! The crate against vectors that another implementation made (`vectors/make.mjs`), and
//! the foundations of both against RFC 5869 and RFC 9605.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use conclave_e2ee::{
    BaseKey, Codec, FileKey, FileStream, FrameOpener, FrameSealer, LeafIndex, LinkSecret,
    StreamContext,
};
use conclave_protocol::Epoch;
use serde::{Deserialize, de::DeserializeOwned};
use sframe::{
    CipherSuite,
    frame::{EncryptedFrameView, MediaFrame, MonotonicCounter},
    header::SframeHeader,
    key::{DecryptionKey, EncryptionKey},
};

fn read<T: DeserializeOwned>(json: &str) -> Vec<T> {
    let vectors: Vec<T> = serde_json::from_str(json).unwrap();
    assert!(!vectors.is_empty());
    vectors
}

#[derive(Deserialize)]
struct LinkVector {
    secret: String,
    room: String,
    fragment: String,
    psk: String,
    auth: String,
    wrap: String,
    psk_id: String,
}

#[test]
fn a_links_secret_yields_the_known_keys() {
    for vector in read::<LinkVector>(include_str!("vectors/links.json")) {
        let secret = LinkSecret::from_fragment(&vector.fragment).unwrap();
        let same = LinkSecret::from_bytes(hex::decode(&vector.secret).unwrap().try_into().unwrap());
        assert_eq!(same.to_fragment().as_str(), vector.fragment);
        let keys = secret.keys(&vector.room.parse().unwrap());
        for (key, expected) in [
            (&keys.psk, &vector.psk),
            (&keys.auth, &vector.auth),
            (&keys.wrap, &vector.wrap),
            (&keys.psk_id, &vector.psk_id),
        ] {
            assert_eq!(&hex::encode(key.as_bytes()), expected);
        }
    }
}

/// RFC 5869 appendix A.1.
#[test]
fn the_key_derivation_is_the_standards() {
    let (prk, hkdf) = hkdf::Hkdf::<sha2::Sha256>::extract(
        Some(&hex::decode("000102030405060708090a0b0c").unwrap()),
        &[0x0b; 22],
    );
    assert_eq!(
        hex::encode(prk),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    );
    let mut okm = [0; 42];
    hkdf.expand(&hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap(), &mut okm)
        .unwrap();
    assert_eq!(
        hex::encode(okm),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
}

/// RFC 9605 appendix C.1, some rows of each width that a key id or a counter of ours can have.
#[test]
fn sframe_headers_are_the_standards() {
    for (kid, counter, encoded) in [
        (0_u64, 0_u64, "00"),
        (0, 255, "08ff"),
        (1, 256, "190100"),
        (255, 1, "81ff"),
        (256, 65_535, "990100ffff"),
        (65_535, 65_536, "9affff010000"),
        (65_536, 16_777_216, "ab01000001000000"),
        (16_777_215, 0, "a0ffffff"),
        (16_777_216, 4_294_967_295, "bb01000000ffffffff"),
    ] {
        let header = SframeHeader::new(kid, counter);
        let mut bytes = vec![0; header.len()];
        header.serialize(&mut bytes).unwrap();
        assert_eq!(hex::encode(&bytes), encoded);
        let read = SframeHeader::deserialize(&bytes).unwrap();
        assert_eq!((read.key_id(), read.counter()), (kid, counter));
    }
}

/// RFC 9605 appendix C.3, AES_128_GCM_SHA256_128.
#[test]
fn sframe_ciphertexts_are_the_standards() {
    let suite = CipherSuite::AesGcm128Sha256;
    let base_key = hex::decode("000102030405060708090a0b0c0d0e0f").unwrap();
    let (kid, counter) = (0x123_u64, 0x4567_u64);
    let metadata = b"IETF SFrame WG";
    let plaintext = b"draft-ietf-sframe-enc";
    let ciphertext =
        "9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb";

    let key = EncryptionKey::derive_from(suite, kid, &base_key).unwrap();
    let mut next = MonotonicCounter::with_start_value(counter, u64::MAX);
    let frame = MediaFrame::try_with_meta_data(&mut next, plaintext, metadata).unwrap();
    let sealed = frame.encrypt(&key).unwrap();
    assert_eq!(hex::encode(sealed.sframe_cipher_text()), ciphertext);

    let bytes = hex::decode(ciphertext).unwrap();
    let key = DecryptionKey::derive_from(suite, kid, &base_key).unwrap();
    let sealed = EncryptedFrameView::try_with_meta_data(&bytes, metadata).unwrap();
    assert_eq!(sealed.decrypt(&key).unwrap().payload(), plaintext);
}

#[derive(Deserialize)]
struct FrameVector {
    codec: String,
    base_key: String,
    context: u8,
    leaf: u32,
    epoch: u64,
    counter: u64,
    frame: String,
    opened: String,
    sealed: String,
}

#[test]
fn frames_are_sealed_to_the_known_bytes() {
    for vector in read::<FrameVector>(include_str!("vectors/frames.json")) {
        let codec = match vector.codec.as_str() {
            "opus" => Codec::Opus,
            "vp8" => Codec::Vp8,
            "vp9" => Codec::Vp9,
            "av1" => Codec::Av1,
            "h264" => Codec::H264,
            other => panic!("no codec {other}"),
        };
        let base_key = BaseKey::from_slice(&hex::decode(&vector.base_key).unwrap()).unwrap();
        let leaf = LeafIndex::new(vector.leaf).unwrap();
        let context = StreamContext::new(vector.context).unwrap();
        let epoch = Epoch::new(vector.epoch);
        let frame = hex::decode(&vector.frame).unwrap();

        let mut sealer = FrameSealer::new();
        sealer.install(epoch, leaf, &base_key);
        sealer.seal_with(epoch);
        for _ in 0..vector.counter {
            sealer.seal(context, codec, &frame).unwrap();
        }
        let sealed = sealer.seal(context, codec, &frame).unwrap();
        assert_eq!(hex::encode(&sealed), vector.sealed, "{}", vector.codec);

        let mut opener = FrameOpener::new();
        opener.install(epoch, &base_key);
        let opened = opener.open(codec, &sealed).unwrap();
        assert_eq!(hex::encode(&opened.frame), vector.opened);
        assert_eq!(opened.leaf, leaf);
        assert_eq!(opened.context, context);
        assert_eq!(opened.counter, vector.counter);
    }
}

#[derive(Deserialize)]
struct FileVector {
    key: FileKey,
    size: u64,
    sealed_bytes: u64,
    sealed: Option<String>,
    digests: Vec<String>,
}

#[test]
fn files_are_sealed_to_the_known_bytes() {
    for vector in read::<FileVector>(include_str!("vectors/files.json")) {
        let content: Vec<u8> = (0..vector.size).map(|at| (at * 31 % 251) as u8).collect();
        let stream = FileStream::new(&vector.key, vector.size).unwrap();
        assert_eq!(stream.sealed().get(), vector.sealed_bytes);
        let mut chunks: Vec<&[u8]> = content.chunks(1 << 20).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        assert_eq!(chunks.len(), vector.digests.len());
        for (number, (chunk, digest)) in chunks.into_iter().zip(&vector.digests).enumerate() {
            let number = u32::try_from(number).unwrap();
            let sealed = stream.seal(number, chunk).unwrap();
            let found = <sha2::Sha256 as sha2::Digest>::digest(&sealed);
            assert_eq!(
                &hex::encode(found),
                digest,
                "{} bytes, chunk {number}",
                vector.size
            );
            assert_eq!(stream.open(number, &sealed).unwrap(), chunk);
            if let Some(bytes) = &vector.sealed {
                assert_eq!(&hex::encode(&sealed), bytes);
            }
        }
    }
}
