//! Video and audio that a test can recognise: every payload tells who sent it.

use super::client::Received;

/// What a payload says of itself behind its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) sender: u8,
    pub(crate) layer: u8,
    pub(crate) is_key: bool,
    pub(crate) frame: u32,
    pub(crate) part: u8,
    pub(crate) parts: u8,
}

/// A VP8 payload: descriptor with a 15-bit picture id and TL0PICIDX, the first byte of the
/// frame in clear, then the stamp and filling up to `length`.
pub(crate) fn vp8(stamp: Stamp, picture: u16, tl0: u8, length: usize) -> Vec<u8> {
    let begins = if stamp.part == 0 { 0x10 } else { 0 };
    let [high, low] = picture.to_be_bytes();
    let mut payload = vec![0x80 | begins, 0xe0, 0x80 | high, low, tl0, 0x20];
    payload.push(if stamp.is_key { 0 } else { 1 });
    push_stamp(&mut payload, stamp);
    payload.resize(length.max(payload.len()), 0xaa);
    payload
}

/// Bytes of an H.264 payload in front of its stamp.
const H264_HEAD: usize = 13;

/// An H.264 payload (RFC 6184): a key frame begins with an aggregate of its parameters, all
/// else is in fragments of one slice. The stamp stands at the same place in each.
pub(crate) fn h264(stamp: Stamp, length: usize) -> Vec<u8> {
    let mut payload = if stamp.is_key && stamp.part == 0 {
        let rest = (length.max(H264_HEAD + STAMP) + 1 - H264_HEAD) as u16;
        let [high, low] = rest.to_be_bytes();
        vec![0x78, 0, 4, 0x67, 66, 0xe0, 31, 0, 1, 0x68, high, low, 0x06]
    } else {
        let slices = u8::from(stamp.is_key);
        let kind = if stamp.is_key { 5 } else { 1 };
        let first = if stamp.part == slices { 0x80 } else { 0 };
        let last = if stamp.part + 1 == stamp.parts {
            0x40
        } else {
            0
        };
        let mut payload = vec![0x7c, first | last | kind];
        payload.resize(H264_HEAD, 0x88);
        payload
    };
    push_stamp(&mut payload, stamp);
    payload.resize(length.max(payload.len()), 0xaa);
    payload
}

pub(crate) fn read_h264(payload: &[u8]) -> Stamp {
    read_stamp(&payload[H264_HEAD..])
}

/// An audio payload.
pub(crate) fn audio(stamp: Stamp) -> Vec<u8> {
    let mut payload = vec![];
    push_stamp(&mut payload, stamp);
    payload.resize(60, 0xbb);
    payload
}

/// Bytes of a stamp.
const STAMP: usize = 9;

pub(super) fn push_stamp(payload: &mut Vec<u8>, stamp: Stamp) {
    payload.extend([stamp.sender, stamp.layer, u8::from(stamp.is_key)]);
    payload.extend(stamp.frame.to_be_bytes());
    payload.extend([stamp.part, stamp.parts]);
}

pub(super) fn read_stamp(payload: &[u8]) -> Stamp {
    Stamp {
        sender: payload[0],
        layer: payload[1],
        is_key: payload[2] == 1,
        frame: u32::from_be_bytes(payload[3..7].try_into().unwrap()),
        part: payload[7],
        parts: payload[8],
    }
}

/// Picture id, TL0PICIDX and stamp of a VP8 payload.
pub(crate) fn read_vp8(payload: &[u8]) -> (u16, u8, Stamp) {
    let picture = u16::from_be_bytes([payload[2] & 0x7f, payload[3]]);
    (picture, payload[4], read_stamp(&payload[7..]))
}

pub(crate) fn read_audio(payload: &[u8]) -> Stamp {
    read_stamp(payload)
}

/// Sequence numbers without gap or repetition, time and pictures moving forward. What
/// arrived late is put in its place first.
pub(crate) fn assert_seamless(received: &[Received]) {
    let mut ordered = received.to_vec();
    ordered.sort_by_key(|r| r.sequence);
    for pair in ordered.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        assert_eq!(b.sequence, a.sequence + 1, "{a:?} then {b:?}");
        let forward = b.timestamp.wrapping_sub(a.timestamp);
        assert!(forward < u32::MAX / 2, "time went back: {a:?} then {b:?}");
        if a.is_video && b.is_video {
            let same_frame = a.stamp.sender == b.stamp.sender
                && a.stamp.layer == b.stamp.layer
                && a.stamp.frame == b.stamp.frame;
            assert_eq!(a.picture.is_some(), b.picture.is_some());
            if let (Some(old), Some(new)) = (a.picture, b.picture) {
                let step = new.wrapping_sub(old) & 0x7fff;
                assert_eq!(step, u16::from(!same_frame), "{a:?} then {b:?}");
            }
            assert_eq!(forward == 0, same_frame);
            if (a.stamp.sender, a.stamp.layer) != (b.stamp.sender, b.stamp.layer) {
                assert!(b.stamp.is_key && b.stamp.part == 0, "{a:?} then {b:?}");
            }
        }
    }
}
