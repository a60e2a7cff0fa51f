//! Frames from a sealer to openers, along every way that they can go wrong.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use conclave_e2ee::{
    BaseKey, Codec, FrameOpener, FrameSealer, LeafIndex, OpenError, SealError, StreamContext,
};
use conclave_protocol::Epoch;
use proptest::prelude::*;

const EPOCH: Epoch = Epoch::new(3);

/// A VP8 key frame, by its first bit.
const VP8_KEY: &[u8] = &[0x10, 1, 2, 0x9d, 1, 0x2a, 64, 1, 180, 0, 11, 12, 13];
/// A VP8 delta frame.
const VP8_DELTA: &[u8] = &[0x31, 1, 2, 3, 4, 5];
/// A temporal delimiter, a sequence header and a frame.
const AV1_KEY: &[u8] = &[0x12, 0, 0x0a, 3, 7, 8, 9, 0x32, 4, 1, 2, 3, 4];
/// A delimiter, both kinds of parameters and two slices.
const H264_KEY: &[u8] = &[
    0, 0, 0, 1, 0x09, 0x10, 0, 0, 0, 1, 0x67, 66, 0xe0, 31, 0, 0, 0, 1, 0x68, 0xce, 0x38, 0, 0, 0,
    1, 0x65, 0x88, 0x84, 1, 2, 3, 0, 0, 1, 0x65, 0x08, 9, 9,
];
/// One slice.
const H264_DELTA: &[u8] = &[0, 0, 0, 1, 0x41, 0x9a, 0x24, 0x6c, 0x41, 0x4f];

fn leaf(number: u32) -> LeafIndex {
    LeafIndex::new(number).unwrap()
}

fn key(byte: u8) -> BaseKey {
    BaseKey::new([byte; 16])
}

fn sealer(number: u32) -> FrameSealer {
    let mut sealer = FrameSealer::new();
    sealer.install(EPOCH, leaf(number), &key(1));
    sealer.seal_with(EPOCH);
    sealer
}

fn opener() -> FrameOpener {
    let mut opener = FrameOpener::new();
    opener.install(EPOCH, &key(1));
    opener
}

fn audio(sealer: &mut FrameSealer, frame: &[u8]) -> Vec<u8> {
    sealer
        .seal(StreamContext::AUDIO, Codec::Opus, frame)
        .unwrap()
}

#[test]
fn a_frame_arrives_with_its_sender_and_stream() {
    for (codec, context, frame) in [
        (Codec::Opus, StreamContext::AUDIO, &[1, 2, 3][..]),
        (Codec::Vp8, StreamContext::CAMERA[2], VP8_KEY),
        (Codec::Vp8, StreamContext::SCREEN[0], VP8_DELTA),
        (Codec::Vp9, StreamContext::CAMERA[0], &[0x82, 1]),
        (Codec::H264, StreamContext::CAMERA[1], H264_KEY),
        (Codec::H264, StreamContext::CAMERA[1], H264_DELTA),
    ] {
        let sealed = sealer(1023).seal(context, codec, frame).unwrap();
        let opened = opener().open(codec, &sealed).unwrap();
        assert_eq!(opened.frame, frame);
        assert_eq!(opened.leaf, leaf(1023));
        assert_eq!(opened.context, context);
        assert_eq!(opened.epoch, EPOCH);
        assert_eq!(opened.counter, 0);
    }
}

#[test]
fn av1_loses_only_the_temporal_delimiter() {
    let sealed = sealer(0)
        .seal(StreamContext::CAMERA[0], Codec::Av1, AV1_KEY)
        .unwrap();
    assert_eq!(&sealed[..6], [0x0a, 3, 7, 8, 9, 0x32]);
    assert_eq!(usize::from(sealed[6]), sealed.len() - 7);
    let opened = opener().open(Codec::Av1, &sealed).unwrap();
    assert_eq!(opened.frame, &AV1_KEY[2..]);
}

#[test]
fn only_what_packetisers_need_stays_clear() {
    let mut sealer = sealer(0);
    let mut seal = |codec, frame: &[u8]| sealer.seal(StreamContext::CAMERA[0], codec, frame);
    let sealed = seal(Codec::Vp8, VP8_KEY).unwrap();
    assert_eq!(sealed[..10], VP8_KEY[..10]);
    let secret = [0xa5; 40];
    for codec in [Codec::Opus, Codec::Vp9] {
        let sealed = seal(codec, &secret).unwrap();
        assert!(!sealed.windows(4).any(|window| window == &secret[..4]));
    }
    let delta = [&[0x31][..], &secret].concat();
    let sealed = seal(Codec::Vp8, &delta).unwrap();
    assert_eq!(sealed[0], 0x31);
    assert!(!sealed.windows(4).any(|window| window == &secret[..4]));
    let sealed = seal(Codec::H264, &[H264_KEY, &secret].concat()).unwrap();
    let carrier = [&H264_KEY[6..21], &H264_KEY[21..30]].concat();
    assert_eq!(sealed[..24], carrier);
    assert!(!sealed.windows(4).any(|window| window == &secret[..4]));
}

#[test]
fn no_bit_of_a_sealed_frame_can_be_changed() {
    for (codec, frame) in [
        (Codec::Opus, &[1, 2, 3][..]),
        (Codec::Vp8, VP8_KEY),
        (Codec::Vp8, VP8_DELTA),
        (Codec::Vp9, &[0x82, 1]),
        (Codec::Av1, AV1_KEY),
        (Codec::H264, H264_KEY),
        (Codec::H264, H264_DELTA),
    ] {
        let sealed = sealer(5)
            .seal(StreamContext::CAMERA[0], codec, frame)
            .unwrap();
        let original = opener().open(codec, &sealed).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(opened) = opener().open(codec, &changed) {
                // Packetisers rewrite the flags of AV1's synthetic unit.
                assert_eq!((codec, bit / 8), (Codec::Av1, 5), "bit {bit}");
                assert_eq!(opened, original);
            }
        }
        for length in 0..sealed.len() {
            assert!(opener().open(codec, &sealed[..length]).is_err());
        }
    }
}

#[test]
fn a_frame_does_not_pass_for_one_of_another_codec() {
    let sealed = audio(&mut sealer(0), &[0x82, 1, 2]);
    let error = opener().open(Codec::Vp9, &sealed).unwrap_err();
    assert_eq!(error, OpenError::Forged);
}

#[test]
fn duplicates_and_padding_are_named_as_such() {
    let mut opener = opener();
    let sealed = audio(&mut sealer(0), &[1]);
    assert!(opener.open(Codec::Opus, &sealed).is_ok());
    assert_eq!(opener.open(Codec::Opus, &sealed), Err(OpenError::Duplicate));
    assert_eq!(opener.open(Codec::Opus, &[]), Err(OpenError::Empty));
}

#[test]
fn frames_may_come_out_of_order_within_the_window() {
    let mut sealer = sealer(0);
    let frames: Vec<_> = (0..1100).map(|_| audio(&mut sealer, &[1])).collect();
    let mut opener = opener();
    assert!(opener.open(Codec::Opus, &frames[1050]).is_ok());
    assert_eq!(
        opener.open(Codec::Opus, &frames[26]),
        Err(OpenError::TooOld)
    );
    assert!(opener.open(Codec::Opus, &frames[27]).is_ok());
    assert_eq!(
        opener.open(Codec::Opus, &frames[27]),
        Err(OpenError::Duplicate)
    );
    assert!(opener.open(Codec::Opus, &frames[1049]).is_ok());
}

#[test]
fn a_forged_counter_does_not_move_the_window() {
    let mut sealer = sealer(0);
    let early = audio(&mut sealer, &[1]);
    for _ in 0..5000 {
        audio(&mut sealer, &[1]);
    }
    let mut late = audio(&mut sealer, &[1]);
    *late.last_mut().unwrap() ^= 1;
    let mut opener = opener();
    assert!(opener.open(Codec::Opus, &early).is_ok());
    assert_eq!(opener.open(Codec::Opus, &late), Err(OpenError::Forged));
    let next = audio(&mut self::sealer(0), &[1]);
    assert_eq!(opener.open(Codec::Opus, &next), Err(OpenError::Duplicate));
}

#[test]
fn streams_do_not_share_counters_or_windows() {
    let mut sealer = sealer(0);
    let mut opener = opener();
    for context in [StreamContext::AUDIO, StreamContext::SCREEN_SOUND] {
        let sealed = sealer.seal(context, Codec::Opus, &[1]).unwrap();
        assert_eq!(opener.open(Codec::Opus, &sealed).unwrap().counter, 0);
    }
    let sealed = audio(&mut sealer, &[1]);
    assert_eq!(opener.open(Codec::Opus, &sealed).unwrap().counter, 1);
}

#[test]
fn keys_come_and_go_by_epoch() {
    let mut sealer = FrameSealer::new();
    let mut opener = opener();
    let seal = |sealer: &mut FrameSealer| sealer.seal(StreamContext::AUDIO, Codec::Opus, &[1]);
    assert_eq!(seal(&mut sealer), Err(SealError::NoKey));
    sealer.install(EPOCH, leaf(0), &key(1));
    assert_eq!(seal(&mut sealer), Err(SealError::NoKey), "not told to");
    sealer.seal_with(EPOCH);
    let old = seal(&mut sealer).unwrap();

    let next = EPOCH.next();
    sealer.install(next, leaf(0), &key(2));
    sealer.seal_with(next);
    let new = seal(&mut sealer).unwrap();
    assert_eq!(opener.open(Codec::Opus, &new), Err(OpenError::UnknownEpoch));
    opener.install(next, &key(2));
    assert_eq!(opener.open(Codec::Opus, &new).unwrap().epoch, next);
    assert_eq!(opener.open(Codec::Opus, &old).unwrap().epoch, EPOCH);

    opener.forget(EPOCH);
    assert_eq!(opener.open(Codec::Opus, &old), Err(OpenError::UnknownEpoch));
    sealer.forget(next);
    assert_eq!(seal(&mut sealer), Err(SealError::NoKey));
}

#[test]
fn an_epoch_gives_way_to_the_one_with_the_same_lowest_bits() {
    let mut opener = opener();
    let old = audio(&mut sealer(0), &[1]);
    let later = Epoch::new(EPOCH.get() + 256);
    opener.install(later, &key(2));
    assert_eq!(opener.open(Codec::Opus, &old), Err(OpenError::Forged));
    opener.forget(EPOCH);
    let mut sealer = FrameSealer::new();
    sealer.install(later, leaf(0), &key(2));
    sealer.seal_with(later);
    let new = audio(&mut sealer, &[1]);
    assert_eq!(opener.open(Codec::Opus, &new).unwrap().epoch, later);
}

/// A newcomer to a call that gathers quickly, in which some still seal with an epoch from
/// many joins ago.
#[test]
fn frames_of_epochs_before_ones_time_are_not_taken_for_forged() {
    let old = audio(&mut sealer(0), &[1]);
    let mut opener = FrameOpener::new();
    for number in 1..=255 {
        opener.install(Epoch::new(EPOCH.get() + number), &key(2));
        assert_eq!(opener.open(Codec::Opus, &old), Err(OpenError::UnknownEpoch));
    }
}

#[test]
fn a_key_never_counts_twice() {
    let mut sealer = sealer(0);
    let first = audio(&mut sealer, &[1]);
    sealer.install(EPOCH, leaf(0), &key(1));
    let second = audio(&mut sealer, &[1]);
    assert_ne!(first, second, "goes on counting");
    sealer.forget(EPOCH);
    sealer.install(EPOCH, leaf(0), &key(1));
    assert_eq!(
        sealer.seal(StreamContext::AUDIO, Codec::Opus, &[1]),
        Err(SealError::NoKey)
    );
    sealer.install(EPOCH, leaf(0), &key(2));
    assert!(sealer.seal(StreamContext::AUDIO, Codec::Opus, &[1]).is_ok());
}

#[test]
fn reinstalling_a_key_does_not_open_the_window_again() {
    let mut opener = opener();
    let sealed = audio(&mut sealer(0), &[1]);
    assert!(opener.open(Codec::Opus, &sealed).is_ok());
    opener.install(EPOCH, &key(1));
    assert_eq!(opener.open(Codec::Opus, &sealed), Err(OpenError::Duplicate));
}

#[test]
fn what_cannot_be_divided_is_not_sealed() {
    let mut sealer = sealer(0);
    let mut seal = |codec, frame: &[u8]| sealer.seal(StreamContext::CAMERA[0], codec, frame);
    assert_eq!(seal(Codec::Vp8, &[]), Err(SealError::Empty));
    assert_eq!(seal(Codec::Vp8, &VP8_KEY[..9]), Err(SealError::Malformed));
    assert_eq!(seal(Codec::Av1, &[0x0a, 9]), Err(SealError::Malformed));
    assert_eq!(
        seal(Codec::H264, &H264_KEY[..21]),
        Err(SealError::Malformed)
    );
}

proptest! {
    /// Whatever arrives, opening it neither panics nor yields a frame.
    #[test]
    fn noise_is_never_a_frame(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        codec in prop::sample::select(vec![Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264]),
    ) {
        prop_assert!(opener().open(codec, &noise).is_err());
        let _ = sealer(0).seal(StreamContext::CAMERA[0], codec, &noise);
    }

    /// Every frame that is sealed opens to itself.
    #[test]
    fn sealed_frames_open(
        frame in prop::collection::vec(any::<u8>(), 10..3000),
        codec in prop::sample::select(vec![Codec::Opus, Codec::Vp8, Codec::Vp9]),
    ) {
        let sealed = sealer(0).seal(StreamContext::CAMERA[0], codec, &frame).unwrap();
        prop_assert_eq!(opener().open(codec, &sealed).unwrap().frame, frame);
    }

    /// Whatever an H.264 frame holds behind the header of its slice, it opens to itself.
    #[test]
    fn sealed_h264_frames_open(
        header in prop::sample::select(vec![0x41_u8, 0x65]),
        inside in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..3000),
    ) {
        let frame = [&H264_KEY[6..25], &[header, 0x88], &inside].concat();
        let sealed = sealer(0).seal(StreamContext::CAMERA[0], Codec::H264, &frame).unwrap();
        prop_assert_eq!(opener().open(Codec::H264, &sealed).unwrap().frame, frame);
    }
}
