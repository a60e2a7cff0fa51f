//! What each receiver ought to have been getting, moment by moment, from who was in the
//! call, what was on and which page was looked at.

use std::{collections::BTreeSet, ops::Range, time::Instant};

use conclave_protocol::signal::Source;

/// The sources that are counted one by one.
pub const SOURCES: [Source; 3] = [Source::Microphone, Source::Camera, Source::Screen];

/// When one bot was in the call, and what it did there.
#[derive(Debug, Clone)]
pub struct Attendance {
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// What it sent, from each moment on.
    pub sends: Vec<(Instant, Vec<Source>)>,
    /// Which page of the cameras it looked at, from each moment on.
    pub pages: Vec<(Instant, usize)>,
    /// Cameras on a page.
    pub tiles: usize,
    /// Slots of each kind, in the order of [`SOURCES`].
    pub slots: [usize; 3],
    /// Its number among the bots of the run.
    pub number: u32,
    /// How many streams there are, where bots watch streams by number ([`streams_on_page`]),
    /// on or off, and hear whom they see. None where they see and hear whoever is on.
    pub streams: Option<u32>,
}

impl Attendance {
    fn is_there(&self, at: Instant) -> bool {
        self.from <= at && at < self.until
    }

    fn sends(&self, at: Instant, source: Source) -> bool {
        let sources = latest(&self.sends, at);
        self.is_there(at) && sources.is_some_and(|sources| sources.contains(&source))
    }

    /// How many streams it ought to get at a moment at which these bots send.
    fn due(&self, at: Instant, source: Source, senders: &[u32]) -> usize {
        let slots = |source| {
            let kind = SOURCES.iter().position(|known| *known == source);
            kind.map_or(0, |kind| self.slots[kind])
        };
        if !self.is_there(at) || slots(source) == 0 {
            return 0;
        }
        let page = latest(&self.pages, at).copied().unwrap_or_default();
        let tiles = self.tiles.min(slots(Source::Camera));
        if let Some(streams) = self.streams {
            return streams_on_page(streams, self.number, page * self.tiles, tiles)
                .filter(|stream| senders.contains(stream))
                .count();
        }
        let others = senders.iter().filter(|sender| **sender != self.number);
        match source {
            Source::Camera => others.count().saturating_sub(page * self.tiles).min(tiles),
            _ => others.count().min(slots(source)),
        }
    }

    fn moments(&self) -> impl Iterator<Item = Instant> {
        let ends = [self.from, self.until];
        let sends = self.sends.iter().map(|(at, _)| *at);
        let pages = self.pages.iter().map(|(at, _)| *at);
        ends.into_iter().chain(sends).chain(pages)
    }
}

fn latest<T>(changes: &[(Instant, T)], at: Instant) -> Option<&T> {
    let before = changes.iter().rev().find(|(since, _)| *since <= at);
    before.map(|(_, value)| value)
}

/// Which of so many numbered streams someone watches who leaves out so many and then takes
/// so many of those of others.
pub fn streams_on_page(
    streams: u32,
    own: u32,
    left_out: usize,
    taken: usize,
) -> impl Iterator<Item = u32> {
    (0..streams)
        .filter(move |stream| *stream != own)
        .skip(left_out)
        .take(taken)
}

/// Seconds of streams within a window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StreamTime {
    /// That were sent, each counted once.
    pub sent: f64,
    /// That receivers ought to have got, each counted for itself.
    pub due: f64,
}

/// How much was sent and due of a source.
pub fn stream_time(
    attendances: &[Attendance],
    source: Source,
    window: &Range<Instant>,
) -> StreamTime {
    let mut moments: BTreeSet<Instant> = attendances
        .iter()
        .flat_map(Attendance::moments)
        .filter(|at| window.start < *at && *at < window.end)
        .collect();
    moments.extend([window.start, window.end]);
    let moments: Vec<Instant> = moments.into_iter().collect();
    let mut time = StreamTime::default();
    for pair in moments.windows(2) {
        let (at, seconds) = (pair[0], (pair[1] - pair[0]).as_secs_f64());
        let senders: Vec<u32> = attendances
            .iter()
            .filter(|bot| bot.sends(at, source))
            .map(|bot| bot.number)
            .collect();
        let due: usize = attendances
            .iter()
            .map(|receiver| receiver.due(at, source, &senders))
            .sum();
        time.sent += senders.len() as f64 * seconds;
        time.due += due as f64 * seconds;
    }
    time
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Rig(Instant);

    impl Rig {
        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }

        fn bot(&self, sends: &[Source], slots: [usize; 3]) -> Attendance {
            Attendance {
                from: self.at(0),
                until: self.at(100),
                sends: vec![(self.at(0), sends.to_vec())],
                pages: vec![(self.at(0), 0)],
                tiles: slots[1],
                slots,
                number: 0,
                streams: None,
            }
        }

        fn of(&self, source: Source, bots: &[Attendance]) -> (f64, f64) {
            let mut bots = bots.to_vec();
            for (bot, number) in bots.iter_mut().zip(0..) {
                bot.number = number;
            }
            let time = stream_time(&bots, source, &(self.at(10)..self.at(20)));
            (time.sent, time.due)
        }

        fn cameras(&self, bots: &[Attendance]) -> (f64, f64) {
            self.of(Source::Camera, bots)
        }
    }

    const CAMERA: &[Source] = &[Source::Camera];

    #[test]
    fn as_many_are_due_as_there_are_slots() {
        let rig = Rig(Instant::now());
        let mut bots = vec![rig.bot(CAMERA, [0, 0, 0]); 3];
        bots.push(rig.bot(&[], [0, 2, 0]));
        bots.push(rig.bot(&[], [4, 9, 1]));
        assert_eq!(rig.cameras(&bots), (30.0, 50.0));
    }

    #[test]
    fn nobody_gets_its_own() {
        let rig = Rig(Instant::now());
        let bots = vec![rig.bot(CAMERA, [0, 9, 0]); 4];
        assert_eq!(rig.cameras(&bots), (40.0, 4.0 * 3.0 * 10.0));
    }

    #[test]
    fn only_who_is_there_counts() {
        let rig = Rig(Instant::now());
        let mut bots = vec![rig.bot(CAMERA, [0, 9, 0]), rig.bot(&[], [0, 9, 0])];
        bots[0].until = rig.at(18);
        bots[1].from = rig.at(15);
        assert_eq!(rig.cameras(&bots), (8.0, 3.0));
    }

    #[test]
    fn what_is_off_is_not_due() {
        let rig = Rig(Instant::now());
        let mut bots = vec![rig.bot(CAMERA, [0, 0, 0]), rig.bot(&[], [0, 9, 0])];
        bots[0].sends.push((rig.at(12), Vec::new()));
        bots[0].sends.push((rig.at(19), CAMERA.to_vec()));
        assert_eq!(rig.cameras(&bots), (3.0, 3.0));
    }

    #[test]
    fn a_page_has_what_is_left_for_it() {
        let rig = Rig(Instant::now());
        let mut bots = vec![rig.bot(CAMERA, [0, 0, 0]); 5];
        let mut viewer = rig.bot(&[], [0, 2, 0]);
        viewer.pages.push((rig.at(14), 2));
        bots.push(viewer);
        // Four seconds of two, six seconds of the fifth.
        assert_eq!(rig.cameras(&bots), (50.0, 14.0));
    }

    #[test]
    fn numbered_streams_are_watched_on_or_off_and_heard_with_their_pictures() {
        const BOTH: &[Source] = &[Source::Microphone, Source::Camera];
        let rig = Rig(Instant::now());
        let mut bots = vec![rig.bot(BOTH, [0, 0, 0]); 5];
        bots[1].sends = vec![(rig.at(0), Vec::new()), (rig.at(18), BOTH.to_vec())];
        // Nobody watches the sixth, since there are five streams.
        bots.push(rig.bot(BOTH, [1, 2, 0]));
        let mut turns = rig.bot(&[], [4, 2, 0]);
        turns.pages.push((rig.at(14), 2));
        bots.extend([turns, rig.bot(&[], [0, 2, 0])]);
        // And who is among the five does not watch itself, but the second and the third.
        bots[0].slots = [4, 2, 0];
        bots[0].tiles = 2;
        for bot in &mut bots {
            bot.streams = Some(5);
        }
        // The sixth and the last see the first, and the second for two seconds; who turns sees
        // the first, then the fifth; the first sees the third, and the second for two seconds.
        let pictures = [12.0, 10.0, 12.0, 12.0];
        let sent = 4.0 * 10.0 + 2.0 + 10.0;
        assert_eq!(rig.cameras(&bots), (sent, pictures.iter().sum()));
        let sounds = pictures.iter().sum::<f64>() - 12.0;
        assert_eq!(rig.of(Source::Microphone, &bots), (sent, sounds));
    }
}
