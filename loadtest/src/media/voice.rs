//! Sounds that nobody made: packets whose sizes and levels (RFC 6464) come as those of
//! people in a conversation do. An SFU forwards only the loudest, so it matters who speaks
//! when.
//!
//! Who speaks does so in spurts of a second on average, with pauses between them; both
//! last exponentially distributed times, as in ITU-T P.59. In a group where only a few have
//! the floor, the others are silent until it is theirs.

use std::time::Duration;

/// How long a spurt of talk lasts on average.
const SPURT: Duration = Duration::from_secs(1);
/// From one packet to the next.
pub const INTERVAL: Duration = Duration::from_millis(20);

/// The first byte of an Opus packet: hybrid, full band, 20 ms, one frame (RFC 6716 §3.1).
const CONFIGURATION: u8 = 0x78;
/// Bytes of a packet with speech, at about 32 kbit/s, and of one without.
const SPOKEN: std::ops::Range<usize> = 60..100;
const SILENT: std::ops::Range<usize> = 8..14;
/// Levels in dBov of speech and of a quiet room.
const SPEECH_LEVEL: std::ops::Range<i8> = -40..-20;
const ROOM_LEVEL: std::ops::Range<i8> = -90..-70;

/// When someone speaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceSpec {
    /// The part of the time in which they speak while they have the floor; 1: always.
    pub talk: f64,
    /// Who has the floor; none: everyone.
    pub floor: Option<Floor>,
}

/// A floor that goes around in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// So many have it at once.
    pub speakers: usize,
    /// How long.
    pub turn: Duration,
    /// How many are in the group.
    pub group: usize,
    /// Which of them this one is.
    pub place: usize,
}

impl Floor {
    /// Whether this one has the floor.
    pub fn is_held(&self, at: Duration) -> bool {
        let turn = at.as_nanos() / self.turn.as_nanos().max(1);
        let group = self.group.max(1) as u128;
        let first = turn * self.speakers as u128 % group;
        let behind = (self.place as u128 + group - first) % group;
        behind < self.speakers as u128
    }
}

/// One packet of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// What Opus made of it.
    pub packet: Vec<u8>,
    /// In dBov: 0 is the loudest.
    pub level: i8,
}

/// Makes the sounds of one microphone.
#[derive(Debug)]
pub struct Voice {
    spec: VoiceSpec,
    chance: fastrand::Rng,
    speaks: bool,
    until: Duration,
}

impl Voice {
    /// The same seed makes the same sounds.
    pub fn new(spec: VoiceSpec, seed: u64) -> Self {
        Self {
            spec,
            chance: fastrand::Rng::with_seed(seed),
            // Turned over before the first packet.
            speaks: false,
            until: Duration::ZERO,
        }
    }

    /// The sound at a moment since the call began.
    pub fn sound(&mut self, at: Duration) -> Sound {
        let speaks = self.speaks(at) && self.spec.floor.is_none_or(|floor| floor.is_held(at));
        let (lengths, levels) = if speaks {
            (SPOKEN, SPEECH_LEVEL)
        } else {
            (SILENT, ROOM_LEVEL)
        };
        let mut packet = vec![0; self.chance.usize(lengths)];
        self.chance.fill(&mut packet);
        if let Some(first) = packet.first_mut() {
            *first = CONFIGURATION;
        }
        let level = self.chance.i8(levels);
        Sound { packet, level }
    }

    fn speaks(&mut self, at: Duration) -> bool {
        let talk = self.spec.talk;
        if talk >= 1.0 || talk <= 0.0 {
            return talk >= 1.0;
        }
        while self.until <= at {
            let first = self.until.is_zero();
            self.speaks = if first {
                self.chance.f64() < talk
            } else {
                !self.speaks
            };
            let mean = if self.speaks {
                SPURT
            } else {
                SPURT.mul_f64((1.0 - talk) / talk)
            };
            // At least a nanosecond, so that time goes on.
            self.until += mean.mul_f64(exponential(&mut self.chance)) + Duration::from_nanos(1);
        }
        self.speaks
    }
}

/// Draws from the exponential distribution with mean 1.
pub(crate) fn exponential(chance: &mut fastrand::Rng) -> f64 {
    -(1.0 - chance.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten minutes of levels.
    fn levels(spec: VoiceSpec, seed: u64) -> Vec<i8> {
        let mut voice = Voice::new(spec, seed);
        (0..30_000)
            .map(|at| voice.sound(INTERVAL * at).level)
            .collect()
    }

    fn spoken(levels: &[i8]) -> usize {
        levels
            .iter()
            .filter(|level| SPEECH_LEVEL.contains(level))
            .count()
    }

    #[test]
    fn talk_comes_in_spurts_of_a_second_and_fills_its_part_of_the_time() {
        let spec = VoiceSpec {
            talk: 0.4,
            floor: None,
        };
        let levels = levels(spec, 1);
        let part = spoken(&levels) as f64 / levels.len() as f64;
        assert!((0.35..0.45).contains(&part), "{part}");
        let speaks = |level: &i8| SPEECH_LEVEL.contains(level);
        let spurts = levels
            .windows(2)
            .filter(|pair| !speaks(&pair[0]) && speaks(&pair[1]))
            .count();
        let seconds = spoken(&levels) as f64 * INTERVAL.as_secs_f64() / spurts as f64;
        assert!((0.8..1.2).contains(&seconds), "{seconds}");
    }

    #[test]
    fn always_is_always_and_never_is_never() {
        for (talk, expected) in [(1.0, 30_000), (0.0, 0)] {
            let spec = VoiceSpec { talk, floor: None };
            assert_eq!(spoken(&levels(spec, 1)), expected);
        }
    }

    #[test]
    fn the_floor_goes_around() {
        let turn = Duration::from_secs(5);
        let held: Vec<Vec<usize>> = (0..4)
            .map(|turns| {
                let at = turn * turns + turn / 2;
                let holds = |place: &usize| {
                    let floor = Floor {
                        speakers: 2,
                        turn,
                        group: 5,
                        place: *place,
                    };
                    floor.is_held(at)
                };
                (0..5).filter(holds).collect()
            })
            .collect();
        assert_eq!(held, [[0, 1], [2, 3], [0, 4], [1, 2]]);
    }

    #[test]
    fn who_does_not_have_the_floor_is_silent() {
        let floor = Floor {
            speakers: 1,
            turn: Duration::from_secs(1),
            group: 4,
            place: 2,
        };
        let spec = VoiceSpec {
            talk: 1.0,
            floor: Some(floor),
        };
        assert_eq!(spoken(&levels(spec, 1)), 30_000 / 4);
    }

    #[test]
    fn a_seed_is_a_voice_and_packets_are_of_opus() {
        let spec = VoiceSpec {
            talk: 0.5,
            floor: None,
        };
        assert_eq!(levels(spec, 4), levels(spec, 4));
        assert_ne!(levels(spec, 4), levels(spec, 5));
        let sound = Voice::new(spec, 4).sound(Duration::ZERO);
        assert_eq!(sound.packet[0], CONFIGURATION);
    }
}
