//! The tracks of a room that are on, and what each client still has to be told of them.

use std::collections::{HashMap, VecDeque};

use conclave_protocol::{
    ParticipantId,
    control::{ControlNotice, Publication},
    signal::Source,
};

use super::track::TrackKey;

/// A client that missed more changes than this is told everything anew.
const MOST_CHANGES: usize = 256;

/// How far a client has been told. Compare only versions of one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Version(u64);

/// A track that is on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) track: TrackKey,
    pub(crate) participant: ParticipantId,
    pub(crate) source: Source,
}

/// The tracks that are on, in the order in which they came on.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    published: Vec<Published>,
    places: HashMap<(ParticipantId, Source), TrackKey>,
    version: Version,
    /// Whose publication changed with which version, oldest first, without gaps.
    changes: VecDeque<ParticipantId>,
}

impl Roll {
    pub(crate) fn add(&mut self, published: Published) {
        let place = (published.participant, published.source);
        self.places.insert(place, published.track);
        self.published.push(published);
        self.changed(published.participant);
    }

    pub(crate) fn remove(&mut self, track: TrackKey) {
        let Some(at) = self.published.iter().position(|p| p.track == track) else {
            return;
        };
        let gone = self.published.remove(at);
        let place = (gone.participant, gone.source);
        if self.places.get(&place) == Some(&track) {
            self.places.remove(&place);
        }
        self.changed(gone.participant);
    }

    fn changed(&mut self, participant: ParticipantId) {
        self.version.0 += 1;
        self.changes.push_back(participant);
        if self.changes.len() > MOST_CHANGES {
            self.changes.pop_front();
        }
    }

    pub(crate) fn find(&self, participant: ParticipantId, source: Source) -> Option<TrackKey> {
        self.places.get(&(participant, source)).copied()
    }

    pub(crate) fn of(&self, source: Source) -> impl Iterator<Item = &Published> {
        self.published.iter().filter(move |p| p.source == source)
    }

    pub(crate) fn tracks(&self) -> impl Iterator<Item = TrackKey> + '_ {
        self.published.iter().map(|published| published.track)
    }

    pub(crate) fn sounds(&self) -> impl Iterator<Item = &Published> {
        self.published.iter().filter(|p| !p.source.is_video())
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// What someone who was told as far as `told` does not know about the others. None when
    /// that is nothing.
    pub(crate) fn news(
        &self,
        told: Option<Version>,
        receiver: ParticipantId,
    ) -> Option<ControlNotice> {
        let missed = told.and_then(|told| usize::try_from(self.version.0 - told.0).ok());
        let Some(missed) = missed.filter(|missed| *missed <= self.changes.len()) else {
            return Some(ControlNotice::Publications {
                participants: self.publications(receiver),
            });
        };
        let mut changed: Vec<ParticipantId> = vec![];
        for participant in self.changes.range(self.changes.len() - missed..) {
            if *participant != receiver && !changed.contains(participant) {
                changed.push(*participant);
            }
        }
        (!changed.is_empty()).then(|| ControlNotice::PublicationsChanged {
            participants: changed.into_iter().map(|p| self.publication(p)).collect(),
        })
    }

    fn publications(&self, receiver: ParticipantId) -> Vec<Publication> {
        let mut all: Vec<Publication> = vec![];
        let mut places: HashMap<ParticipantId, usize> = HashMap::new();
        for published in self.published.iter().filter(|p| p.participant != receiver) {
            let at = *places.entry(published.participant).or_insert_with(|| {
                all.push(Publication {
                    participant: published.participant,
                    sources: vec![],
                });
                all.len() - 1
            });
            all[at].sources.push(published.source);
        }
        all
    }

    fn publication(&self, participant: ParticipantId) -> Publication {
        let sources = Source::ALL
            .into_iter()
            .filter(|source| self.find(participant, *source).is_some())
            .collect();
        Publication {
            participant,
            sources,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(number: u64) -> ParticipantId {
        ParticipantId::new(number)
    }

    fn camera(number: u64) -> Published {
        Published {
            track: TrackKey(usize::try_from(number).unwrap()),
            participant: person(number),
            source: Source::Camera,
        }
    }

    fn changed(number: u64, sources: &[Source]) -> ControlNotice {
        ControlNotice::PublicationsChanged {
            participants: vec![Publication {
                participant: person(number),
                sources: sources.to_vec(),
            }],
        }
    }

    #[test]
    fn a_newcomer_is_told_everything_and_then_only_what_changes() {
        let mut roll = Roll::default();
        roll.add(camera(1));
        roll.add(camera(2));
        let first = roll.news(None, person(9)).unwrap();
        let ControlNotice::Publications { participants } = first else {
            panic!("{first:?}");
        };
        assert_eq!(participants.len(), 2);

        let told = roll.version();
        assert_eq!(roll.news(Some(told), person(9)), None);
        roll.add(camera(3));
        let news = roll.news(Some(told), person(9));
        assert_eq!(news, Some(changed(3, &[Source::Camera])));
        assert_eq!(roll.news(Some(told), person(3)), None, "it is their own");

        let told = roll.version();
        roll.remove(TrackKey(1));
        assert_eq!(roll.news(Some(told), person(9)), Some(changed(1, &[])));
        assert_eq!(roll.find(person(1), Source::Camera), None);
    }

    #[test]
    fn who_missed_too_much_is_told_everything() {
        let mut roll = Roll::default();
        roll.add(camera(1));
        let told = roll.version();
        for _ in 0..MOST_CHANGES {
            roll.remove(TrackKey(2));
            roll.add(camera(2));
        }
        assert_eq!(roll.changes.len(), MOST_CHANGES);
        let news = roll.news(Some(told), person(9));
        assert!(matches!(news, Some(ControlNotice::Publications { .. })));
    }
}
