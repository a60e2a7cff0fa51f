//! Who is being heard, from the levels that senders put beside their audio (RFC 6464).

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    time::{Duration, Instant},
};

/// One has to be this much louder than the one ahead to pass it, so that two people of
/// like loudness do not change places with every breath.
const MARGIN_DB: f32 = 6.0;

/// Speaking begins above the first and ends below the second.
const SPEAKING_ABOVE_DB: f32 = -45.0;
const SILENT_BELOW_DB: f32 = -55.0;

/// The level of silence, and of someone who sends no levels.
const SILENCE_DB: f32 = -127.0;

/// A level is taken over quickly when it rises and lets go slowly when it falls, so that a
/// pause between two words is not the end of a speech.
const RISE: f32 = 0.35;
const FALL: f32 = 0.012;

/// Who sends nothing for so long is silent.
const STALE: Duration = Duration::from_millis(600);

/// Ranks the voices of one room. `K` names a voice.
#[derive(Debug)]
pub(crate) struct Loudness<K> {
    voices: HashMap<K, Voice>,
    /// The loudest first, give or take [`MARGIN_DB`].
    ranking: Vec<K>,
}

#[derive(Debug)]
struct Voice {
    level_db: f32,
    speaking: bool,
    heard: Instant,
}

impl<K> Default for Loudness<K> {
    fn default() -> Self {
        Self {
            voices: HashMap::new(),
            ranking: vec![],
        }
    }
}

impl<K: Copy + Eq + Hash> Loudness<K> {
    /// Takes note of one packet of a voice: its level in dBov (0 is loudest).
    pub(crate) fn observe(&mut self, now: Instant, key: K, level_db: Option<i8>) {
        let level = level_db.map_or(SILENCE_DB, |db| f32::from(db).clamp(SILENCE_DB, 0.0));
        match self.voices.entry(key) {
            Entry::Occupied(mut entry) => {
                let voice = entry.get_mut();
                let weight = if level > voice.level_db { RISE } else { FALL };
                voice.level_db += weight * (level - voice.level_db);
                voice.heard = now;
            }
            Entry::Vacant(entry) => {
                entry.insert(Voice {
                    level_db: level,
                    speaking: false,
                    heard: now,
                });
                self.ranking.push(key);
            }
        }
    }

    /// Takes over a level, in dBov, that was smoothed elsewhere.
    pub(crate) fn set(&mut self, now: Instant, key: K, level_db: f32) {
        let voice = self.voices.entry(key).or_insert_with(|| {
            self.ranking.push(key);
            Voice {
                level_db,
                speaking: false,
                heard: now,
            }
        });
        voice.level_db = level_db;
        voice.heard = now;
    }

    /// All voices with their levels in dBov, the loudest first.
    pub(crate) fn levels(&self) -> impl Iterator<Item = (K, f32)> + '_ {
        let level = |key: &K| self.voices.get(key).map_or(SILENCE_DB, |v| v.level_db);
        self.ranking.iter().map(move |key| (*key, level(key)))
    }

    /// Forgets a voice.
    pub(crate) fn remove(&mut self, key: K) {
        if self.voices.remove(&key).is_some() {
            self.ranking.retain(|voice| *voice != key);
        }
    }

    /// Brings ranking and speakers up to date. True when either changed.
    pub(crate) fn rank(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for voice in self.voices.values_mut() {
            if now.saturating_duration_since(voice.heard) > STALE {
                voice.level_db = SILENCE_DB;
            }
            let speaking = if voice.speaking {
                voice.level_db >= SILENT_BELOW_DB
            } else {
                voice.level_db > SPEAKING_ABOVE_DB
            };
            changed |= speaking != voice.speaking;
            voice.speaking = speaking;
        }
        for last in 1..self.ranking.len() {
            let mut at = last;
            while at > 0 && self.passes(self.ranking[at], self.ranking[at - 1]) {
                self.ranking.swap(at, at - 1);
                at -= 1;
                changed = true;
            }
        }
        changed
    }

    /// Only who speaks moves ahead: the noises of silent rooms change nothing.
    fn passes(&self, behind: K, ahead: K) -> bool {
        let (Some(behind), Some(ahead)) = (self.voices.get(&behind), self.voices.get(&ahead))
        else {
            return false;
        };
        behind.speaking && behind.level_db > ahead.level_db + MARGIN_DB
    }

    /// True when something was heard of a voice.
    pub(crate) fn knows(&self, key: K) -> bool {
        self.voices.contains_key(&key)
    }

    /// All voices, the loudest first.
    pub(crate) fn voices(&self) -> impl Iterator<Item = K> + '_ {
        self.ranking.iter().copied()
    }

    /// Those who speak, the loudest first.
    pub(crate) fn speakers(&self) -> impl Iterator<Item = K> + '_ {
        let speaks = |key: &K| self.voices.get(key).is_some_and(|voice| voice.speaking);
        self.ranking.iter().copied().filter(speaks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds one second of levels, one packet each 20 ms, ranking each 200 ms.
    fn second(loudness: &mut Loudness<u8>, now: &mut Instant, levels: &[(u8, i8)]) {
        for packet in 0..50 {
            *now += Duration::from_millis(20);
            for &(key, level) in levels {
                loudness.observe(*now, key, Some(level));
            }
            if packet % 10 == 9 {
                loudness.rank(*now);
            }
        }
    }

    fn order(loudness: &Loudness<u8>) -> Vec<u8> {
        loudness.voices().collect()
    }

    #[test]
    fn the_louder_one_moves_ahead() {
        let (mut loudness, mut now) = (Loudness::default(), Instant::now());
        second(&mut loudness, &mut now, &[(1, -30), (2, -70)]);
        assert_eq!(order(&loudness), [1, 2]);
        second(&mut loudness, &mut now, &[(1, -90), (2, -25)]);
        assert_eq!(order(&loudness), [2, 1]);
        assert_eq!(loudness.speakers().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn nearly_equal_voices_keep_their_places() {
        let (mut loudness, mut now) = (Loudness::default(), Instant::now());
        second(&mut loudness, &mut now, &[(1, -32), (2, -30)]);
        for _ in 0..10 {
            second(&mut loudness, &mut now, &[(1, -33), (2, -29)]);
            assert_eq!(order(&loudness), [1, 2]);
            second(&mut loudness, &mut now, &[(1, -29), (2, -33)]);
            assert_eq!(order(&loudness), [1, 2]);
        }
    }

    #[test]
    fn a_silent_voice_passes_nobody() {
        let (mut loudness, mut now) = (Loudness::default(), Instant::now());
        second(&mut loudness, &mut now, &[(1, -127), (2, -127)]);
        second(&mut loudness, &mut now, &[(1, -127), (2, -60)]);
        assert_eq!(order(&loudness), [1, 2]);
        second(&mut loudness, &mut now, &[(1, -127), (2, -40)]);
        assert_eq!(order(&loudness), [2, 1]);
    }

    #[test]
    fn a_pause_between_words_is_not_the_end_of_the_speech() {
        let (mut loudness, mut now) = (Loudness::default(), Instant::now());
        second(&mut loudness, &mut now, &[(1, -30)]);
        for _ in 0..10 {
            now += Duration::from_millis(20);
            loudness.observe(now, 1, Some(-127));
        }
        loudness.rank(now);
        assert_eq!(loudness.speakers().count(), 1);
        second(&mut loudness, &mut now, &[(1, -127)]);
        assert_eq!(loudness.speakers().count(), 0);
    }

    #[test]
    fn who_sends_nothing_any_more_is_silent() {
        let (mut loudness, mut now) = (Loudness::default(), Instant::now());
        second(&mut loudness, &mut now, &[(1, -30)]);
        assert!(loudness.rank(now + STALE * 2));
        assert_eq!(loudness.speakers().count(), 0);
        loudness.remove(1);
        assert_eq!(order(&loudness), [] as [u8; 0]);
    }
}
