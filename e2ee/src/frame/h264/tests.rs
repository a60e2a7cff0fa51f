use proptest::prelude::*;

use super::*;

/// A delimiter, both kinds of parameters, a note, and two slices.
const KEY: &[u8] = &[
    0, 0, 0, 1, 0x09, 0x10, 0, 0, 0, 1, 0x67, 66, 0xe0, 31, 0, 0, 1, 0x68, 0xce, 0x38, 0, 0, 1,
    0x06, 5, 1, 7, 0x80, 0, 0, 0, 1, 0x65, 0x88, 0x84, 1, 2, 3, 0, 0, 1, 0x65, 0x08, 9, 9,
];
/// What of it is clear.
const KEY_CLEAR: &[u8] = &[
    0, 0, 0, 1, 0x67, 66, 0xe0, 31, 0, 0, 0, 1, 0x68, 0xce, 0x38, 0, 0, 0, 1, 0x65, 0x88, 0x84, 1,
    2,
];

fn sealed(clear: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    assemble(&[clear, ciphertext].concat(), clear.len())
}

/// As a receiver puts it together again: every unit behind a start code of `zeros` zeros.
fn rewritten(sealed: &[u8], zeros: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = sealed;
    while !rest.is_empty() {
        let (unit, behind) = read(rest).unwrap();
        out.resize(out.len() + zeros, 0);
        out.push(1);
        out.extend(unit);
        rest = behind;
    }
    out
}

/// Mostly what has to be escaped.
fn bytes(length: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], length)
}

#[test]
fn parameters_and_the_beginning_of_the_first_slice_stay_clear() {
    assert_eq!(clear(KEY).unwrap(), KEY_CLEAR);
    let delta = [0, 0, 1, 0x41, 0x9a, 0x24, 0x6c, 0x41, 0x4f];
    let expected = [0, 0, 0, 1, 0x41, 0x9a, 0x24, 0x6c, 0x41];
    assert_eq!(clear(&delta).unwrap(), expected);
}

#[test]
fn a_short_slice_is_filled_up() {
    let clear = clear(&[0, 0, 1, 0x41, 0x9a]).unwrap();
    assert_eq!(clear, [0, 0, 0, 1, 0x41, 0x9a, 0, 0, 0]);
}

#[test]
fn the_carrier_is_one_unit_like_the_first_slice() {
    let sealed = sealed(KEY_CLEAR, &[0xcc, 0, 0, 1, 0, 0, 0, 0]);
    let carrier = [
        0x65, 0x88, 0x84, 1, 2, 0xcc, 0, 0, 3, 1, 0, 0, 3, 0, 0, 0x80,
    ];
    assert_eq!(sealed, [&KEY_CLEAR[..19], &carrier].concat());
}

#[test]
fn rewritten_start_codes_change_nothing() {
    let sealed = sealed(KEY_CLEAR, &[0, 0, 3, 7, 0]);
    for zeros in 2..5 {
        let (clear, ciphertext) = divide_sealed(&rewritten(&sealed, zeros)).unwrap();
        assert_eq!(clear, KEY_CLEAR);
        assert_eq!(ciphertext, [0, 0, 3, 7, 0]);
    }
}

#[test]
fn frames_without_a_slice_are_malformed() {
    for frame in [
        &[][..],
        &[0x65, 0x88],
        &[0, 1, 0x65, 0x88],
        &[0, 0, 1],
        &[0, 0, 1, 0, 0],
        &[0, 0, 2, 0x65, 0x88],
        &KEY[..27],
    ] {
        assert_eq!(clear(frame), Err(Malformed), "{frame:02x?}");
    }
}

#[test]
fn what_the_sealer_does_not_write_is_malformed() {
    let whole = [0, 0, 1, 0x41, 1, 2, 3, 4, 5, 0x80];
    assert!(divide_sealed(&whole).is_ok());
    for (sealed, why) in [
        (&whole[..9], "its end is missing"),
        (&[0, 0, 1, 0x41, 1, 2, 3, 0x80], "cut short"),
        (&[0, 0, 1, 0x46, 1, 2, 3, 4, 5, 0x80], "another kind"),
        (&[0, 0, 1, 0x41, 1, 2, 3, 4, 0, 0, 2, 0x80], "not escaped"),
        (
            &[0, 0, 1, 0x41, 1, 2, 3, 4, 0, 0, 3, 4, 0x80],
            "needlessly escaped",
        ),
        (&[0, 0, 1, 0x41, 1, 2, 3, 0, 0, 3], "an escape at the end"),
        (
            &[0, 0, 1, 0x41, 1, 2, 3, 4, 5, 0x80, 0, 0, 1, 0x41, 6],
            "two of them",
        ),
        (&[0, 0, 1, 0x67, 1, 2, 3, 4, 5, 0x80], "only parameters"),
    ] {
        assert_eq!(divide_sealed(sealed), Err(Malformed), "{why}");
    }
}

proptest! {
    #[test]
    fn whatever_is_carried_comes_back_and_looks_like_one_unit(
        repeated in bytes(REPEATED),
        ciphertext in bytes(0..500),
        zeros in 2..5_usize,
    ) {
        let clear = [&[0, 0, 0, 1, 0x65], &repeated[..]].concat();
        let sealed = sealed(&clear, &ciphertext);
        prop_assert!(!sealed[4..].windows(3).any(|w| w[..2] == [0, 0] && w[2] < 3));
        prop_assert_ne!(sealed.last(), Some(&0));
        prop_assert_eq!(divide_sealed(&rewritten(&sealed, zeros)), Ok((clear, ciphertext)));
    }

    /// What can be read at all is what is written for it.
    #[test]
    fn there_is_one_way_to_escape(escaped in bytes(0..60)) {
        if let Ok(mut inside) = unescape(&escaped) && inside.pop() == Some(STOP) {
            let mut again = Vec::new();
            escape(&inside, &mut again);
            prop_assert_eq!(again, escaped);
        }
    }
}
