//! Picture ids and TL0PICIDX of VP8 and VP9: the same fields, the same rules.

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

const LONG: u16 = 0x7fff;
const SHORT: u16 = 0x7f;

/// Keeps the ids of an outgoing stream continuous across switches.
#[derive(Debug, Default)]
pub(crate) struct IdRewriter {
    picture_offset: u16,
    tl0_offset: u8,
    newest_picture: Option<u16>,
    newest_tl0: Option<u8>,
}

impl IdRewriter {
    /// Goes over to another source whose first frame has these ids.
    pub(crate) fn switch(&mut self, first: PictureIds) {
        self.picture_offset = match (self.newest_picture, first.picture) {
            (Some(newest), Some(first)) => newest.wrapping_add(1).wrapping_sub(first) & LONG,
            _ => 0,
        };
        self.tl0_offset = match (self.newest_tl0, first.tl0) {
            (Some(newest), Some(first)) => newest.wrapping_add(1).wrapping_sub(first),
            _ => 0,
        };
    }

    /// The ids under which a frame of the current source goes out.
    pub(crate) fn place(&mut self, ids: PictureIds) -> PictureIds {
        let picture = ids.picture.map(|picture| {
            let mask = if ids.short { SHORT } else { LONG };
            let placed = picture.wrapping_add(self.picture_offset) & mask;
            // A short id only tells the low bits; the newest is kept in full.
            let full = match self.newest_picture {
                Some(newest) if ids.short => {
                    let ahead = placed.wrapping_sub(newest) & SHORT;
                    let ahead = if ahead > SHORT / 2 {
                        ahead.wrapping_sub(SHORT + 1)
                    } else {
                        ahead
                    };
                    newest.wrapping_add(ahead) & LONG
                }
                _ => placed,
            };
            let newer = self
                .newest_picture
                .is_none_or(|newest| (full.wrapping_sub(newest) & LONG) <= LONG / 2);
            if newer {
                self.newest_picture = Some(full);
            }
            placed
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
