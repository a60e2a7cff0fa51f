//! Picture ids and TL0PICIDX of VP8 and VP9: the same fields, the same rules. And the frame
//! numbers of dependency descriptors.

use super::compact::{Compactor, unwrap};

/// What a payload descriptor says about a frame's place in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PictureIds {
    /// 15 bits, or 7 when `short`.
    pub(crate) picture: Option<u16>,
    /// The picture id has the 7-bit form.
    pub(crate) short: bool,
    /// The number of the last frame of the base temporal layer.
    pub(crate) tl0: Option<u8>,
}

const LONG_BITS: u32 = 15;
const SHORT_BITS: u32 = 7;

/// Numbers are kept in full from here on, so that none before the first is below zero.
const BEGINNING: u64 = 1 << 32;

/// Keeps the ids of an outgoing stream continuous across switches.
#[derive(Debug, Default)]
pub(crate) struct IdRewriter {
    pictures: Option<Pictures>,
    tl0_offset: u8,
    newest_picture: Option<u64>,
    newest_tl0: Option<u8>,
}

/// How the picture ids of the current source are mapped.
#[derive(Debug)]
struct Pictures {
    /// The highest so far, in full.
    newest: u64,
    offset: u64,
    left_out: Compactor,
}

impl IdRewriter {
    /// Goes over to another source whose first frame has these ids.
    pub(crate) fn switch(&mut self, first: PictureIds) {
        let newest = self.newest_picture;
        self.pictures = first
            .picture
            .map(|picture| Pictures::after(newest, picture));
        self.tl0_offset = match (self.newest_tl0, first.tl0) {
            (Some(newest), Some(first)) => newest.wrapping_add(1).wrapping_sub(first),
            _ => 0,
        };
    }

    /// The ids under which a frame of the current source goes out.
    pub(crate) fn place(&mut self, ids: PictureIds) -> PictureIds {
        let newest = self.newest_picture;
        let picture = ids.picture.map(|picture| {
            // A source may begin to number its pictures later than with its first.
            let source = self
                .pictures
                .get_or_insert_with(|| Pictures::after(newest, picture));
            let number = source.number(picture, ids.short);
            let before = source.left_out.before(number);
            let left_out = before.unwrap_or_else(|| source.left_out.count());
            let placed = number.wrapping_add(source.offset).wrapping_sub(left_out);
            self.newest_picture = self.newest_picture.max(Some(placed));
            (placed & ((1 << bits(ids.short)) - 1)) as u16
        });
        let tl0 = ids.tl0.map(|tl0| {
            let placed = tl0.wrapping_add(self.tl0_offset);
            let newer = self
                .newest_tl0
                .is_none_or(|newest| placed.wrapping_sub(newest) <= 0x7f);
            if newer {
                self.newest_tl0 = Some(placed);
            }
            placed
        });
        PictureIds {
            picture,
            short: ids.short,
            tl0,
        }
    }

    /// A frame is not sent, and the pictures close up: receivers of VP8 take a gap for a
    /// frame that is still to come.
    pub(crate) fn leave_out(&mut self, ids: PictureIds) {
        if let (Some(source), Some(picture)) = (&mut self.pictures, ids.picture) {
            let number = source.number(picture, ids.short);
            source.left_out.leave_out(number);
        }
    }
}

impl Pictures {
    /// Those of a source whose first is to go out behind the newest.
    fn after(newest: Option<u64>, first: u16) -> Self {
        let first = BEGINNING + u64::from(first);
        let place = newest.map_or(first, |newest| newest + 1);
        Self {
            newest: first,
            offset: place.wrapping_sub(first),
            left_out: Compactor::default(),
        }
    }

    /// The picture's number in full.
    fn number(&mut self, picture: u16, short: bool) -> u64 {
        let number = unwrap(self.newest, picture, bits(short));
        self.newest = self.newest.max(number);
        number
    }
}

fn bits(short: bool) -> u32 {
    if short { SHORT_BITS } else { LONG_BITS }
}

/// Keeps the frame numbers of dependency descriptors continuous across switches.
#[derive(Debug, Default)]
pub(crate) struct FrameNumbers {
    offset: u16,
    newest: Option<u16>,
}

impl FrameNumbers {
    /// Goes over to another source whose first frame has this number.
    pub(crate) fn switch(&mut self, first: u16) {
        let next = self.newest.map_or(first, |newest| newest.wrapping_add(1));
        self.offset = next.wrapping_sub(first);
    }

    /// The number under which a frame of the current source goes out.
    pub(crate) fn place(&mut self, number: u16) -> u16 {
        let placed = number.wrapping_add(self.offset);
        let newer = self
            .newest
            .is_none_or(|newest| placed.wrapping_sub(newest) < 1 << 15);
        if newer {
            self.newest = Some(placed);
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(picture: u16, tl0: u8) -> PictureIds {
        PictureIds {
            picture: Some(picture),
            short: false,
            tl0: Some(tl0),
        }
    }

    #[test]
    fn a_switch_leaves_no_jump_even_at_the_end_of_the_range() {
        let mut ids = IdRewriter::default();
        ids.switch(long(0x7ffd, 254));
        assert_eq!(ids.place(long(0x7ffd, 254)), long(0x7ffd, 254));
        assert_eq!(ids.place(long(0x7ffe, 255)), long(0x7ffe, 255));
        ids.switch(long(100, 7));
        assert_eq!(ids.place(long(100, 7)), long(0x7fff, 0));
        assert_eq!(ids.place(long(101, 7)), long(0, 0));
        ids.switch(long(9, 9));
        assert_eq!(ids.place(long(9, 9)), long(1, 1));
    }

    #[test]
    fn a_late_frame_does_not_turn_the_numbers_back() {
        let mut ids = IdRewriter::default();
        ids.switch(long(10, 1));
        ids.place(long(10, 1));
        ids.place(long(12, 2));
        ids.place(long(11, 1));
        ids.switch(long(500, 50));
        assert_eq!(ids.place(long(500, 50)), long(13, 3));
    }

    #[test]
    fn short_ids_stay_short() {
        let short = |picture| PictureIds {
            picture: Some(picture),
            short: true,
            tl0: None,
        };
        let mut ids = IdRewriter::default();
        ids.switch(short(126));
        assert_eq!(ids.place(short(126)), short(126));
        assert_eq!(ids.place(short(127)), short(127));
        assert_eq!(ids.place(short(0)), short(0));
        ids.switch(short(50));
        assert_eq!(ids.place(short(50)), short(1));
    }

    #[test]
    fn what_is_left_out_closes_up_and_what_is_lost_does_not() {
        let mut ids = IdRewriter::default();
        ids.switch(long(0x7ffe, 1));
        assert_eq!(ids.place(long(0x7ffe, 1)), long(0x7ffe, 1));
        ids.leave_out(long(0x7fff, 1));
        ids.leave_out(long(0x7fff, 1));
        assert_eq!(ids.place(long(1, 1)), long(0, 1), "picture 0 is missing");
        assert_eq!(ids.place(long(0, 1)), long(0x7fff, 1));
        ids.switch(long(7, 7));
        assert_eq!(ids.place(long(7, 7)), long(1, 2));
    }

    #[test]
    fn frame_numbers_go_on_over_switches() {
        let mut numbers = FrameNumbers::default();
        numbers.switch(0xfffe);
        assert_eq!(numbers.place(0xfffe), 0xfffe);
        assert_eq!(numbers.place(0), 0);
        assert_eq!(numbers.place(0xffff), 0xffff, "it came late");
        numbers.switch(500);
        assert_eq!(numbers.place(500), 1);
    }

    #[test]
    fn a_source_that_numbers_its_pictures_late_goes_on_where_the_last_one_ended() {
        let mut ids = IdRewriter::default();
        ids.switch(long(10, 1));
        ids.place(long(10, 1));
        ids.switch(PictureIds::default());
        ids.place(PictureIds::default());
        assert_eq!(ids.place(long(500, 1)).picture, Some(11));
        ids.switch(long(70, 7));
        assert_eq!(ids.place(long(70, 7)).picture, Some(12));
    }

    #[test]
    fn a_source_without_ids_is_left_without() {
        let mut ids = IdRewriter::default();
        ids.switch(long(10, 1));
        ids.place(long(10, 1));
        ids.switch(PictureIds::default());
        assert_eq!(ids.place(PictureIds::default()), PictureIds::default());
        ids.switch(long(70, 7));
        assert_eq!(ids.place(long(70, 7)), long(11, 2));
    }
}
