//! Payloads that pass for VP8 and Opus. Their contents are nobody's business.

/// Bytes of a full video packet's payload.
pub(crate) const PACKET: usize = 1_100;

/// Bytes of a packet of sound.
const SOUND: usize = 80;

/// What one frame of a layer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) packets: usize,
    /// Bytes in each.
    pub(crate) length: usize,
}

impl Frame {
    /// As many full packets.
    pub(crate) const fn of(packets: usize) -> Self {
        Self {
            packets,
            length: PACKET,
        }
    }
}

/// The simulcast layers of a camera at 30 frames a second: 0.14, 0.53 and 1.6 Mbit/s.
pub(crate) const LAYERS: [Frame; 3] = [
    Frame {
        packets: 1,
        length: 600,
    },
    Frame::of(2),
    Frame::of(6),
];

/// A VP8 payload: a descriptor with a picture id of 15 bits and TL0PICIDX (RFC 7741 §4.2),
/// then the first byte of the frame, which says whether it is a key frame.
pub(crate) fn picture(begins: bool, key: bool, picture: u16, tl0: u8, length: usize) -> Vec<u8> {
    let [high, low] = picture.to_be_bytes();
    let start = 0x80 | if begins { 0x10 } else { 0 };
    let mut payload = vec![start, 0xe0, 0x80 | high, low, tl0, 0x20, u8::from(!key)];
    payload.resize(length, 0xaa);
    payload
}

/// One packet of sound.
pub(crate) fn sound() -> Vec<u8> {
    vec![0xbb; SOUND]
}
