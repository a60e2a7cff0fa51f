//! What member bots hand to the other bots of this process, so that these can open frames
//! without being members: the keys of the call, and whose they are.
//!
//! In a large call every commit is processed by every member. A generator that did that
//! for hundreds of bots on one machine would measure itself. Those who only watch are no
//! less of a load for the server without it, and open every frame all the same.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use conclave_e2ee::{BaseKey, Codec, FrameOpener, Member, OpenError, OpenedFrame};
use conclave_protocol::Epoch;

/// More epochs than pass while frames are on their way, however many come at once.
const MOST_EPOCHS: usize = 64;

#[derive(Default)]
struct Known {
    keys: BTreeMap<Epoch, BaseKey>,
    roster: Vec<Member>,
}

/// The keys that the members of this process have.
#[derive(Default)]
pub struct KeyRing {
    /// Rises with every change, so that looking for news costs next to nothing.
    version: AtomicU64,
    known: Mutex<Known>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing(…)")
    }
}

impl KeyRing {
    /// Takes the key of an epoch from a member.
    pub fn put(&self, epoch: Epoch, key: &BaseKey) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known
            .keys
            .get(&epoch)
            .is_some_and(|known| known.as_bytes() == key.as_bytes());
        if !is_known {
            known.keys.insert(epoch, key.clone());
            while known.keys.len() > MOST_EPOCHS {
                known.keys.pop_first();
            }
            self.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Takes from a member who is in the group.
    pub fn put_roster(&self, roster: &[Member]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(one, other): (&Member, &Member)| {
            (one.leaf, one.participant) == (other.leaf, other.participant)
        };
        let is_known =
            known.roster.len() == roster.len() && known.roster.iter().zip(roster).all(same);
        if !is_known {
            known.roster = roster.to_vec();
            for member in &mut known.roster {
                member.is_self = false;
            }
            self.version.fetch_add(1, Ordering::Release);
        }
    }
}

/// Opens frames with the keys of others.
#[derive(Default)]
pub struct Guest {
    ring: Arc<KeyRing>,
    seen: u64,
    opener: FrameOpener,
    installed: Vec<Epoch>,
    news: Option<Vec<Member>>,
}

impl Guest {
    /// With the keys on this ring.
    pub fn new(ring: Arc<KeyRing>) -> Self {
        Self {
            ring,
            ..Self::default()
        }
    }

    /// Opens one frame.
    pub fn open(&mut self, codec: Codec, frame: &[u8]) -> Result<OpenedFrame, OpenError> {
        self.look();
        self.opener.open(codec, frame)
    }

    /// Who is in the group, if that has changed.
    pub fn take_news(&mut self) -> Option<Vec<Member>> {
        self.news.take()
    }

    fn look(&mut self) {
        let version = self.ring.version.load(Ordering::Acquire);
        if version == self.seen {
            return;
        }
        self.seen = version;
        let known = self.ring.known.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        for epoch in self.installed.drain(..) {
            if !known.keys.contains_key(&epoch) {
                self.opener.forget(epoch);
            }
        }
        for (epoch, key) in &known.keys {
            self.opener.install(*epoch, key);
            self.installed.push(*epoch);
        }
        self.news = Some(known.roster.clone());
    }
}

#[cfg(test)]
mod tests {
    use conclave_e2ee::{FrameSealer, LeafIndex, StreamContext};
    use conclave_protocol::ParticipantId;

    use super::*;

    fn sealed(epoch: u64, key: [u8; 16]) -> Vec<u8> {
        let (epoch, key) = (Epoch::new(epoch), BaseKey::new(key));
        let mut sealer = FrameSealer::new();
        sealer.install(epoch, LeafIndex::new(3).unwrap(), &key);
        sealer.seal_with(epoch);
        sealer
            .seal(StreamContext::AUDIO, Codec::Opus, b"sound")
            .unwrap()
    }

    #[test]
    fn guests_open_what_members_have_keys_of() {
        let ring = Arc::new(KeyRing::default());
        let mut guest = Guest::new(ring.clone());
        let frame = sealed(5, [1; 16]);
        let unknown = guest.open(Codec::Opus, &frame);
        assert_eq!(unknown, Err(OpenError::UnknownEpoch));
        ring.put(Epoch::new(5), &BaseKey::new([1; 16]));
        assert_eq!(guest.open(Codec::Opus, &frame).unwrap().frame, b"sound");
        // The other members of the process put the same there.
        ring.put(Epoch::new(5), &BaseKey::new([1; 16]));
        assert_eq!(guest.open(Codec::Opus, &frame), Err(OpenError::Duplicate));
    }

    #[test]
    fn an_epoch_that_came_otherwise_replaces_the_one_before() {
        let ring = Arc::new(KeyRing::default());
        let mut guest = Guest::new(ring.clone());
        for key in [[1; 16], [2; 16]] {
            ring.put(Epoch::new(5), &BaseKey::new(key));
            assert!(guest.open(Codec::Opus, &sealed(5, key)).is_ok());
        }
        // 256 epochs later the number in a frame is the same.
        ring.put(Epoch::new(261), &BaseKey::new([3; 16]));
        assert!(guest.open(Codec::Opus, &sealed(261, [3; 16])).is_ok());
    }

    #[test]
    fn a_guest_forgets_what_has_left_the_ring() {
        let ring = Arc::new(KeyRing::default());
        let mut guest = Guest::new(ring.clone());
        let key = [1; 16];
        ring.put(Epoch::new(1), &BaseKey::new(key));
        guest.look();
        for epoch in 2..=1 + MOST_EPOCHS as u64 {
            ring.put(Epoch::new(epoch), &BaseKey::new(key));
        }
        let opened = guest.open(Codec::Opus, &sealed(1, key));
        assert_eq!(opened, Err(OpenError::UnknownEpoch));
        assert!(guest.open(Codec::Opus, &sealed(2, key)).is_ok());
    }

    #[test]
    fn who_is_in_the_group_is_news_once() {
        let ring = Arc::new(KeyRing::default());
        let mut guest = Guest::new(ring.clone());
        let member = Member {
            leaf: LeafIndex::new(3).unwrap(),
            participant: ParticipantId::new(8),
            name: "Ada".to_owned(),
            is_self: true,
            is_host: false,
            device: conclave_e2ee::DeviceKey::from_bytes([1; 32]),
            pair_code: None,
        };
        for is_news in [true, false] {
            ring.put_roster(std::slice::from_ref(&member));
            let _ = guest.open(Codec::Opus, &sealed(5, [1; 16]));
            assert_eq!(guest.take_news().is_some(), is_news);
        }
    }
}
