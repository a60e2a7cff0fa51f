//! Where key frames begin in H.264. Its payload descriptor is the headers of its NAL units
//! (RFC 6184 §5.3 to §5.8), which stay clear.

/// `nal_unit_type` (ITU-T H.264, table 7-1), and the types that RFC 6184 adds (§5.4).
const KIND: u8 = 0x1f;
const SEQUENCE_PARAMETERS: u8 = 7;
const AGGREGATE: u8 = 24;
const FRAGMENT: u8 = 28;

/// S of a fragment's header (§5.8).
const FIRST: u8 = 0x80;

/// Whether a picture begins in this payload from which decoding can begin: it brings the
/// sequence parameters, which senders put in front of every such picture. (Where they come in
/// a packet of their own, the picture itself is too late: a decoder needs them first.)
pub(super) fn begins_key_frame(payload: &[u8]) -> bool {
    match payload {
        [header, rest @ ..] if header & KIND == AGGREGATE => {
            units(rest).any(|header| header & KIND == SEQUENCE_PARAMETERS)
        }
        [header, fragment, ..] if header & KIND == FRAGMENT => {
            fragment & FIRST != 0 && fragment & KIND == SEQUENCE_PARAMETERS
        }
        [header, ..] => header & KIND == SEQUENCE_PARAMETERS,
        [] => false,
    }
}

/// The headers of the units in an aggregate, each behind its length (§5.7.1).
fn units(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk()?;
        let (unit, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
        rest = behind;
        unit.first().copied()
    })
}

#[cfg(test)]
mod tests {
    use super::begins_key_frame;

    #[test]
    fn a_key_frame_begins_with_its_sequence_parameters() {
        for (payload, begins) in [
            (&[0x67, 66, 0xe0, 31][..], true),
            (&[0x78, 0, 2, 0x67, 66, 0, 2, 0x68, 0xce], true),
            (&[0x78, 0, 2, 0x09, 0x10, 0, 2, 0x67, 66], true),
            (&[0x7c, 0x87, 66], true),
            (&[0x7c, 0x07, 66], false),
            (&[0x7c, 0x85, 0x88], false),
            (&[0x65, 0x88], false),
            (&[0x41, 0x9a], false),
            (&[0x68, 0xce], false),
            (&[0x78, 0, 2, 0x68, 0xce, 0, 2, 0x65, 0x88], false),
            (&[0x78, 0, 0, 0, 2, 0x67, 66], false),
            (&[0x78, 0, 9, 0x67, 66], false),
            (&[0x78, 0], false),
            (&[0x7c], false),
            (&[], false),
        ] {
            assert_eq!(begins_key_frame(payload), begins, "{payload:02x?}");
        }
    }
}
