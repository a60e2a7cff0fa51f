//! In which order the frames of temporal layers come: every one in the base layer, or in
//! groups of four, as in L1T3 of the WebRTC SVC specification, where a receiver can leave
//! out half of the frames or three of four.
//!
//! A key frame begins a new group, since nothing after it may need what was before.

/// Where a frame stands among the temporal layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// Can be decoded by itself.
    pub is_key: bool,
    /// Its temporal layer (TID), 0 for the base.
    pub temporal: u8,
    /// It needs no frame but those of the base layer (RFC 7741 §4.2, Y).
    pub syncs: bool,
    /// No later frame needs it.
    pub is_droppable: bool,
    /// Its place in a group of frames: 0 to 3.
    pub place: u8,
}

/// How many temporal layers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemporalLayers {
    /// All frames are alike.
    One,
    /// L1T3.
    Three,
}

/// Ranks frames, one after the other.
#[derive(Debug, Clone)]
pub struct Cadence {
    layers: TemporalLayers,
    place: u8,
}

impl Cadence {
    /// Begins with a group.
    pub fn new(layers: TemporalLayers) -> Self {
        Self { layers, place: 0 }
    }

    /// The rank of the next frame.
    pub fn next(&mut self, is_key: bool) -> Rank {
        if is_key {
            self.place = 0;
        }
        let place = self.place;
        let temporal = match (self.layers, place) {
            (TemporalLayers::One, _) | (TemporalLayers::Three, 0) => 0,
            (TemporalLayers::Three, 2) => 1,
            (TemporalLayers::Three, _) => 2,
        };
        if self.layers == TemporalLayers::Three {
            self.place = (place + 1) % 4;
        }
        Rank {
            is_key,
            temporal,
            // The last of a group needs the one in the middle.
            syncs: temporal > 0 && place < 3,
            is_droppable: temporal == 2,
            place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_layers_come_in_groups_of_four_that_a_key_frame_begins_anew() {
        let mut cadence = Cadence::new(TemporalLayers::Three);
        let mut temporal = |keys: [bool; 6]| keys.map(|is_key| cadence.next(is_key).temporal);
        let key_first = [true, false, false, false, false, false];
        assert_eq!(temporal(key_first), [0, 2, 1, 2, 0, 2]);
        assert_eq!(temporal(key_first), [0, 2, 1, 2, 0, 2]);
        let mut cadence = Cadence::new(TemporalLayers::Three);
        let syncs: Vec<_> = (0..4).map(|_| cadence.next(false).syncs).collect();
        assert_eq!(syncs, [false, true, true, false]);
    }

    #[test]
    fn with_one_layer_every_frame_is_of_the_base() {
        let mut cadence = Cadence::new(TemporalLayers::One);
        for at in 0..6 {
            let rank = cadence.next(at == 0);
            assert_eq!((rank.temporal, rank.is_droppable), (0, false));
        }
    }
}
