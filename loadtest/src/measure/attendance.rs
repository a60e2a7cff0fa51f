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
}

impl Attendance {
    fn is_there(&self, at: Instant) -> bool {
        self.from <= at && at < self.until
    }

    fn sends(&self, at: Instant, source: Source) -> bool {
        let sources = latest(&self.sends, at);
        self.is_there(at) && sources.is_some_and(|sources| sources.contains(&source))
    }

    /// How many streams it ought to get at a moment at which others send so many.
    fn due(&self, at: Instant, source: Source, others: usize) -> usize {
        if !self.is_there(at) {
            return 0;
        }
        let kind = SOURCES.iter().position(|known| *known == source);
        let slots = kind.map_or(0, |kind| self.slots[kind]);
        let shown = match source {
            Source::Camera => {
                let page = latest(&self.pages, at).copied().unwrap_or_default();
                others.saturating_sub(page * self.tiles).min(self.tiles)
            }
            _ => others,
        };
        shown.min(slots)
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
        let sends: Vec<bool> = attendances.iter().map(|a| a.sends(at, source)).collect();
        let senders = sends.iter().filter(|sends| **sends).count();
        let due: usize = attendances
            .iter()
            .zip(&sends)
            .map(|(receiver, sends)| receiver.due(at, source, senders - usize::from(*sends)))
            .sum();
        time.sent += senders as f64 * seconds;
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
            }
        }

        fn cameras(&self, bots: &[Attendance]) -> (f64, f64) {
            let time = stream_time(bots, Source::Camera, &(self.at(10)..self.at(20)));
            (time.sent, time.due)
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
}
