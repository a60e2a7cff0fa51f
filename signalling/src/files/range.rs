//! Which part of a file is asked for (RFC 9110 §14).

use std::ops::Range;

use http_range_header::{RangeUnsatisfiableError, parse_range_header};
use hyper::{
    HeaderMap,
    header::{IF_RANGE, RANGE},
};

use super::refusal::Refusal;

/// What to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Of(Range<u64>),
}

/// Several ranges at once, and what cannot be read, are answered with the whole, as §14.2
/// allows. So is a range of another representation than ours (§13.1.5).
pub(super) fn asked(headers: &HeaderMap, bytes: u64, tag: &str) -> Result<Part, Refusal> {
    let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else {
        return Ok(Part::Whole);
    };
    if headers.get(IF_RANGE).is_some_and(|known| known != tag) {
        return Ok(Part::Whole);
    }
    let ranges = parse_range_header(range).and_then(|ranges| ranges.validate(bytes));
    match ranges.as_deref() {
        Ok([one]) => Ok(Part::Of(*one.start()..*one.end() + 1)),
        Err(RangeUnsatisfiableError::Unsatisfiable) => Err(Refusal::OutOfRange { bytes }),
        Ok(_) | Err(_) => Ok(Part::Whole),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn of(range: &'static str) -> Result<Part, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static(range));
        asked(&headers, 1000, "\"tag\"")
    }

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        for (range, expected) in [
            ("bytes=0-499", 0..500),
            ("bytes=500-", 500..1000),
            ("bytes=-1", 999..1000),
            ("bytes=-5000", 0..1000),
            ("bytes=990-5000", 990..1000),
            ("bytes=0-0", 0..1),
        ] {
            assert_eq!(of(range), Ok(Part::Of(expected)), "{range}");
        }
        for range in [
            "bytes=0-1,5-6",
            "bytes=9-1",
            "bytes=",
            "lines=1-2",
            "bytes=a-b",
        ] {
            assert_eq!(of(range), Ok(Part::Whole), "{range}");
        }
        for range in ["bytes=1000-", "bytes=1000-2000", "bytes=-0"] {
            assert_eq!(
                of(range),
                Err(Refusal::OutOfRange { bytes: 1000 }),
                "{range}"
            );
        }
    }

    #[test]
    fn a_part_of_something_else_is_not_given() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.insert(IF_RANGE, HeaderValue::from_static("\"tag\""));
        assert_eq!(asked(&headers, 1000, "\"tag\""), Ok(Part::Of(0..2)));
        assert_eq!(asked(&headers, 1000, "\"other\""), Ok(Part::Whole));
        assert_eq!(asked(&HeaderMap::new(), 1000, "\"tag\""), Ok(Part::Whole));
    }
}
