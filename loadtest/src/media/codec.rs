//! How media is coded. Bots know one way more than can be sealed: on servers that carry
//! nothing else they send H.264, in the clear.

/// How a frame's payload is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// RFC 6716.
    Opus,
    /// RFC 6386.
    Vp8,
    /// The VP9 bitstream.
    Vp9,
    /// The AV1 bitstream.
    Av1,
    /// ITU-T H.264.
    H264,
}

impl Codec {
    /// The same where frames are sealed; none if there is no rule for sealing it.
    pub const fn sealed(self) -> Option<conclave_e2ee::Codec> {
        match self {
            Self::Opus => Some(conclave_e2ee::Codec::Opus),
            Self::Vp8 => Some(conclave_e2ee::Codec::Vp8),
            Self::Vp9 => Some(conclave_e2ee::Codec::Vp9),
            Self::Av1 => Some(conclave_e2ee::Codec::Av1),
            Self::H264 => None,
        }
    }
}
