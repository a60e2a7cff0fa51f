//! Datagrams in a byte stream: two bytes before each say how long it is (RFC 4571 §2, which
//! RFC 6544 §3 applies to all that ICE carries over TCP).

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The length before a datagram.
pub(crate) const HEADER: usize = 2;

/// A frame is longer than any that is taken or can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Takes the next whole frame out of what was read; none when more has to be read first.
/// Frames of length zero carry nothing and are passed over.
pub(crate) fn take(read: &mut BytesMut, longest: usize) -> Result<Option<Bytes>, TooLong> {
    while let Some(header) = read.first_chunk::<HEADER>() {
        let length = usize::from(u16::from_be_bytes(*header));
        if length > longest {
            return Err(TooLong);
        }
        if read.len() < HEADER + length {
            break;
        }
        read.advance(HEADER);
        if length > 0 {
            return Ok(Some(read.split_to(length).freeze()));
        }
    }
    Ok(None)
}

/// Appends a frame.
pub(crate) fn put(out: &mut BytesMut, datagram: &[u8]) -> Result<(), TooLong> {
    let length = u16::try_from(datagram.len()).map_err(|_| TooLong)?;
    out.put_u16(length);
    out.put_slice(datagram);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: usize = 1_500;

    fn framed(datagrams: &[Vec<u8>]) -> BytesMut {
        let mut out = BytesMut::new();
        for datagram in datagrams {
            put(&mut out, datagram).unwrap();
        }
        out
    }

    fn take_all(read: &mut BytesMut) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut frames = vec![];
        while let Some(frame) = take(read, LONGEST)? {
            frames.push(frame.to_vec());
        }
        Ok(frames)
    }

    #[test]
    fn a_frame_is_its_length_and_its_contents() {
        assert_eq!(framed(&[vec![7, 8, 9]])[..], [0, 3, 7, 8, 9]);
    }

    #[test]
    fn half_a_frame_waits_for_the_rest() {
        let mut read = BytesMut::new();
        for byte in [0, 2, 7] {
            read.put_u8(byte);
            assert_eq!(take(&mut read, LONGEST), Ok(None));
        }
        read.put_u8(8);
        assert_eq!(
            take(&mut read, LONGEST),
            Ok(Some(Bytes::from_static(&[7, 8])))
        );
        assert!(read.is_empty());
    }

    #[test]
    fn a_frame_of_nothing_is_passed_over() {
        let mut read = BytesMut::from(&[0, 0, 0, 0, 0, 1, 7, 0, 0][..]);
        assert_eq!(take_all(&mut read), Ok(vec![vec![7]]));
        assert!(read.is_empty());
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_header() {
        let mut read = framed(&[vec![1; LONGEST]]);
        assert_eq!(take_all(&mut read).unwrap().len(), 1);
        let mut read = BytesMut::from(&(LONGEST as u16 + 1).to_be_bytes()[..]);
        assert_eq!(take(&mut read, LONGEST), Err(TooLong));
    }

    #[test]
    fn what_no_header_can_tell_is_not_framed() {
        let mut out = BytesMut::new();
        assert_eq!(put(&mut out, &vec![0; 65_535]), Ok(()));
        let before = out.len();
        assert_eq!(put(&mut out, &vec![0; 65_536]), Err(TooLong));
        assert_eq!(out.len(), before);
    }

    proptest! {
        #[test]
        fn whatever_the_reads_are_the_frames_are_the_same(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=LONGEST), 0..12),
            reads in prop::collection::vec(1_usize..3_000, 1..40),
        ) {
            let mut stream = framed(&datagrams);
            let mut read = BytesMut::new();
            let mut frames = vec![];
            for length in reads.into_iter().cycle() {
                if stream.is_empty() {
                    break;
                }
                let part = stream.split_to(length.min(stream.len()));
                read.extend_from_slice(&part);
                frames.extend(take_all(&mut read).unwrap());
            }
            let sent: Vec<_> = datagrams.into_iter().filter(|d| !d.is_empty()).collect();
            prop_assert_eq!(frames, sent);
            prop_assert!(read.is_empty());
        }

        #[test]
        fn no_bytes_make_a_frame_longer_than_is_taken(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
            let mut read = BytesMut::from(&bytes[..]);
            while let Ok(Some(frame)) = take(&mut read, LONGEST) {
                prop_assert!(!frame.is_empty() && frame.len() <= LONGEST);
            }
        }
    }
}
