//! Which pictures of a received stream a decoder could show, and how long it waits for key
//! frames. Sans-IO, and it looks at no coded picture: only at what is whole and in order.
//!
//! A picture can be decoded when it is a key frame, or when the one before it was decoded
//! and no packet is missing between the two. Whether one is missing, the sequence numbers
//! tell: an SFU closes up what it leaves out on purpose (RFC 7667 §3.7), so a gap is a
//! loss. What comes after a gap is held until a retransmission fills it, or until a key
//! frame makes it needless. The lost picture may have been of a temporal layer that no
//! other picture needs; a decoder could then go on, and this one does not: it errs on the
//! side of telling of a break where there was none.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use conclave_e2ee::{LeafIndex, StreamContext};

/// How long retransmissions may take to fill a gap before a key frame is asked for.
/// Browsers wait longer (libwebrtc: up to 3 s without a picture), so long that a sender's
/// own regular key frames would often hide what asking for one takes.
const PATIENCE: Duration = Duration::from_millis(500);
/// Key frames of one stream are asked for no more often than this.
const ASKING_INTERVAL: Duration = Duration::from_millis(500);
/// Pictures after a gap that are held, at most.
const MOST_HELD: usize = 512;

/// Whose picture it is, and of which of their streams: another one starts from a key frame.
pub type Content = (LeafIndex, StreamContext);

/// A picture that is whole and opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// The sequence number of its first packet, without wrapping.
    pub first: u64,
    /// That of its last packet.
    pub last: u64,
    /// What it shows.
    pub content: Content,
    /// Whether it can be decoded by itself.
    pub is_key_frame: bool,
}

/// What a decoder can show now that it could not before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    /// So many pictures: the one that came, and those held that needed it.
    pub pictures: u32,
    /// For how long no picture could be decoded until this key frame came: since the first
    /// packet of the stream, or since the gap.
    pub waited: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No key frame yet.
    Beginning {
        /// The first packet came.
        since: Instant,
        /// A picture is whole, but of no use without a key frame.
        needs_one: bool,
    },
    /// Everything so far could be decoded, up to a gap if there is one.
    Decoding {
        /// The first packet after the gap came.
        gap_since: Option<Instant>,
    },
    /// Only a key frame helps.
    Broken {
        /// The first useless picture came.
        since: Instant,
    },
}

/// The decoder's side of one RTP stream.
#[derive(Debug)]
pub struct Decoding {
    state: State,
    content: Option<Content>,
    /// The sequence number after the last one that a decoder is done with.
    next: u64,
    highest: u64,
    /// What came after a gap: first and last sequence number, and how many pictures.
    held: BTreeMap<u64, (u64, u32)>,
    /// Pictures that became decodable when something else than a picture filled a gap.
    late: u32,
    asked: Option<Instant>,
}

impl Decoding {
    /// Begins with the first packet.
    pub fn new(now: Instant, sequence: u64) -> Self {
        Self {
            state: State::Beginning {
                since: now,
                needs_one: false,
            },
            content: None,
            next: sequence,
            highest: sequence,
            held: BTreeMap::new(),
            late: 0,
            asked: None,
        }
    }

    /// Notes that a packet came.
    pub fn packet(&mut self, now: Instant, sequence: u64) {
        if sequence > self.highest + 1
            && let State::Decoding { gap_since } = &mut self.state
        {
            gap_since.get_or_insert(now);
        }
        self.highest = self.highest.max(sequence);
    }

    /// Notes a packet that fills its place and bears no picture, such as padding.
    pub fn filler(&mut self, sequence: u64) {
        if matches!(self.state, State::Decoding { .. }) && sequence >= self.next {
            self.held.insert(sequence, (sequence, 0));
            self.late += self.release();
            self.close_gap();
        }
    }

    /// Notes a picture that is whole and opened.
    pub fn picture(&mut self, now: Instant, picture: &Picture) -> Shown {
        if picture.is_key_frame {
            return self.key_frame(now, picture);
        }
        match &mut self.state {
            State::Beginning { needs_one, .. } => *needs_one = true,
            State::Decoding { .. } if picture.last < self.next => {}
            State::Decoding { .. } if self.content != Some(picture.content) => {
                self.spoil(now, picture.last);
            }
            State::Decoding { .. } => {
                self.held.insert(picture.first, (picture.last, 1));
                if self.held.len() > MOST_HELD {
                    self.held.pop_first();
                }
                let pictures = self.release();
                self.close_gap();
                return self.show(pictures, None);
            }
            State::Broken { .. } => {}
        }
        Shown::default()
    }

    fn key_frame(&mut self, now: Instant, picture: &Picture) -> Shown {
        let waited = match self.state {
            State::Beginning { since, .. } | State::Broken { since } => Some(now - since),
            State::Decoding { .. } if picture.last < self.next => return Shown::default(),
            State::Decoding { gap_since } => gap_since
                .filter(|_| picture.first > self.next)
                .map(|since| now - since),
        };
        self.content = Some(picture.content);
        self.next = picture.last + 1;
        self.held = self.held.split_off(&self.next);
        let pictures = 1 + self.release();
        self.state = State::Decoding {
            gap_since: (!self.held.is_empty()).then_some(now),
        };
        self.asked = None;
        self.show(pictures, waited)
    }

    /// Notes a picture, or a packet of one, that came and cannot be opened.
    pub fn unopened(&mut self, now: Instant, last: u64) {
        match &mut self.state {
            State::Beginning { needs_one, .. } => *needs_one = true,
            State::Decoding { .. } if last >= self.next => self.spoil(now, last),
            State::Decoding { .. } | State::Broken { .. } => {}
        }
    }

    /// Whether a key frame is to be asked for now. Asking counts as done.
    pub fn ask(&mut self, now: Instant) -> bool {
        let is_needed = match self.state {
            State::Beginning { needs_one, .. } => needs_one,
            State::Decoding { gap_since } => gap_since.is_some_and(|since| now - since >= PATIENCE),
            State::Broken { .. } => true,
        };
        let is_time = |asked| now.saturating_duration_since(asked) >= ASKING_INTERVAL;
        let asks = is_needed && self.asked.is_none_or(is_time);
        if asks {
            self.asked = Some(now);
        }
        asks
    }

    fn spoil(&mut self, now: Instant, last: u64) {
        let since = match self.state {
            State::Decoding {
                gap_since: Some(since),
            } => since,
            _ => now,
        };
        self.state = State::Broken { since };
        self.next = last + 1;
        self.held.clear();
    }

    /// Takes what is held as long as nothing is missing; tells how many pictures it was.
    fn release(&mut self) -> u32 {
        let mut pictures = 0;
        while let Some(entry) = self.held.first_entry() {
            let (first, (last, count)) = (*entry.key(), *entry.get());
            if first > self.next {
                break;
            }
            entry.remove();
            if first == self.next {
                self.next = last + 1;
                pictures += count;
            }
        }
        pictures
    }

    fn close_gap(&mut self) {
        if self.held.is_empty()
            && let State::Decoding { gap_since } = &mut self.state
        {
            *gap_since = None;
        }
    }

    fn show(&mut self, pictures: u32, waited: Option<Duration>) -> Shown {
        Shown {
            pictures: pictures + std::mem::take(&mut self.late),
            waited,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: bool = true;
    const DELTA: bool = false;

    struct Rig {
        start: Instant,
        decoding: Decoding,
    }

    /// The first packet comes at 0 ms with number 100.
    fn rig() -> Rig {
        let start = Instant::now();
        let decoding = Decoding::new(start, 100);
        Rig { start, decoding }
    }

    fn layer(at: usize) -> Content {
        (LeafIndex::new(1).unwrap(), StreamContext::CAMERA[at])
    }

    impl Rig {
        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        /// A picture of two packets comes at once.
        fn picture(&mut self, at: u64, first: u64, is_key_frame: bool) -> (u32, Option<u64>) {
            self.picture_of(at, first, is_key_frame, layer(0))
        }

        fn picture_of(
            &mut self,
            at: u64,
            first: u64,
            is_key_frame: bool,
            content: Content,
        ) -> (u32, Option<u64>) {
            let now = self.at(at);
            let picture = Picture {
                first,
                last: first + 1,
                content,
                is_key_frame,
            };
            self.decoding.packet(now, first);
            self.decoding.packet(now, first + 1);
            let shown = self.decoding.picture(now, &picture);
            let waited = shown.waited.map(|waited| waited.as_millis() as u64);
            (shown.pictures, waited)
        }

        fn asks(&mut self, at: u64) -> bool {
            let now = self.at(at);
            self.decoding.ask(now)
        }
    }

    #[test]
    fn a_stream_begins_with_a_key_frame() {
        let mut rig = rig();
        assert!(!rig.asks(0), "the first picture is not whole yet");
        assert_eq!(rig.picture(10, 100, DELTA), (0, None));
        assert!(rig.asks(10));
        assert!(!rig.asks(509));
        assert!(rig.asks(510));
        assert_eq!(rig.picture(700, 102, KEY), (1, Some(700)));
        assert_eq!(rig.picture(750, 104, DELTA), (1, None));
        assert!(!rig.asks(5_000));
    }

    #[test]
    fn a_regular_key_frame_is_not_waited_for() {
        let mut rig = rig();
        assert_eq!(rig.picture(5, 100, KEY), (1, Some(5)));
        assert_eq!(rig.picture(50, 102, KEY), (1, None));
        assert_eq!(rig.picture(60, 100, KEY), (0, None), "it came late");
    }

    #[test]
    fn a_filled_gap_shows_everything_that_was_held() {
        let mut rig = rig();
        rig.picture(0, 100, KEY);
        assert_eq!(rig.picture(50, 104, DELTA), (0, None));
        assert_eq!(rig.picture(100, 106, DELTA), (0, None));
        assert!(!rig.asks(500));
        assert_eq!(rig.picture(510, 102, DELTA), (3, None));
        assert!(!rig.asks(5_000));
        assert_eq!(rig.picture(550, 108, DELTA), (1, None));
    }

    #[test]
    fn a_lost_picture_breaks_the_stream_until_a_key_frame() {
        let mut rig = rig();
        rig.picture(0, 100, KEY);
        for number in 0..10 {
            assert_eq!(
                rig.picture(50 + 50 * number, 104 + 2 * number, DELTA),
                (0, None)
            );
        }
        assert!(!rig.asks(549));
        assert!(rig.asks(550));
        assert!(!rig.asks(600));
        assert!(rig.asks(1_050));
        assert_eq!(rig.picture(1_100, 124, KEY), (1, Some(1_050)));
        assert_eq!(rig.picture(1_150, 126, DELTA), (1, None));
        assert!(!rig.asks(9_000));
    }

    #[test]
    fn reordered_packets_break_nothing() {
        let mut rig = rig();
        rig.picture(0, 100, KEY);
        let (early, late) = (rig.at(50), rig.at(51));
        rig.decoding.packet(early, 103);
        rig.decoding.packet(late, 102);
        let picture = Picture {
            first: 102,
            last: 103,
            content: layer(0),
            is_key_frame: false,
        };
        assert_eq!(rig.decoding.picture(late, &picture).pictures, 1);
        assert!(!rig.asks(5_000));
    }

    #[test]
    fn padding_is_no_gap() {
        let mut rig = rig();
        rig.picture(0, 100, KEY);
        let now = rig.at(20);
        rig.decoding.packet(now, 102);
        rig.decoding.filler(102);
        assert_eq!(rig.picture(50, 103, DELTA), (1, None));
        // Padding that is overtaken lets go of what waited for it.
        assert_eq!(rig.picture(100, 106, DELTA), (0, None));
        rig.decoding.filler(105);
        assert_eq!(rig.picture(150, 108, DELTA), (2, None));
        assert!(!rig.asks(5_000));
    }

    #[test]
    fn another_layer_or_sender_needs_a_key_frame() {
        let mut rig = rig();
        rig.picture(0, 100, KEY);
        assert_eq!(rig.picture_of(50, 102, DELTA, layer(1)), (0, None));
        assert!(rig.asks(50));
        assert_eq!(rig.picture_of(300, 104, KEY, layer(1)), (1, Some(250)));
        assert_eq!(rig.picture_of(350, 106, KEY, layer(2)), (1, None));
        assert_eq!(rig.picture_of(400, 108, DELTA, layer(2)), (1, None));
    }

    #[test]
    fn a_picture_that_cannot_be_opened_breaks_the_stream() {
        let mut rig = rig();
        rig.picture(0, 100, KEY);
        let now = rig.at(50);
        rig.decoding.packet(now, 102);
        rig.decoding.unopened(now, 102);
        assert_eq!(rig.picture(100, 103, DELTA), (0, None));
        assert!(rig.asks(100));
        assert_eq!(rig.picture(250, 105, KEY), (1, Some(200)));
    }
}
