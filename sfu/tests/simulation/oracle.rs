//! What has to be true of what the clients receive, whatever happens to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use conclave_sfu::{LostReason, SfuEvent};

use super::{World, client::Received, participant, people::People};

/// While there is trouble: the longest time without a whole frame of a video that is wanted
/// and published, counted from the last thing that explains an interruption.
pub(crate) const LONGEST_GAP: Duration = Duration::from_secs(3);

/// In the calm at the end.
const LONGEST_GAP_IN_CALM: Duration = Duration::from_millis(250);

/// The frames of one sender as one viewer gets them.
#[derive(Debug, Default)]
struct Frames {
    /// The parts that came of frames that are not whole yet.
    parts: BTreeMap<(u8, u32), u32>,
    whole: Vec<Instant>,
}

impl Frames {
    fn take(&mut self, received: &Received) {
        let stamp = received.stamp;
        let parts = self.parts.entry((stamp.layer, stamp.frame)).or_default();
        *parts |= 1 << stamp.part;
        if parts.count_ones() == u32::from(stamp.parts) {
            self.whole.push(received.at);
        }
    }
}

/// Watches a scenario.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// How far the packets of each viewer's slots have been looked at.
    read: BTreeMap<(usize, String), usize>,
    /// By viewer and sender.
    frames: BTreeMap<(usize, usize), Frames>,
    /// Since when the one should see the other.
    visible: BTreeMap<(usize, usize), Instant>,
    /// The longest gap that was seen.
    pub(crate) longest_gap: Duration,
}

impl Oracle {
    /// Looks at what came since the last time.
    pub(crate) fn look(&mut self, world: &World, people: &People) {
        for (viewer, client) in world.clients.iter().enumerate() {
            for (slot, received) in &client.received {
                let read = self.read.entry((viewer, slot.clone())).or_default();
                for packet in &received[*read..] {
                    let sender = usize::from(packet.stamp.sender);
                    let together = people.0[sender].room == people.0[viewer].room;
                    assert!(
                        together && sender != viewer,
                        "{viewer} got what {sender} sent: {packet:?}"
                    );
                    if packet.is_video {
                        self.frames
                            .entry((viewer, sender))
                            .or_default()
                            .take(packet);
                    }
                }
                *read = received.len();
            }
        }
        self.look_for_gaps(world, people);
    }

    fn look_for_gaps(&mut self, world: &World, people: &People) {
        let before = std::mem::take(&mut self.visible);
        for (viewer, person) in people.present() {
            for sender in people.visible_to(viewer) {
                let pair = (viewer, sender);
                // What the path does not carry is paused, and the viewer is told.
                if world.clients[viewer].is_paused(participant(sender)) {
                    continue;
                }
                let visible = *before.get(&pair).unwrap_or(&world.now);
                self.visible.insert(pair, visible);
                let disturbed = person
                    .disturbed
                    .max(people.0[sender].disturbed)
                    .max(visible);
                let ready = [viewer, sender].map(|who| world.clients[who].connected);
                let [Some(a), Some(b)] = ready else { continue };
                let frames = self.frames.get(&(viewer, sender));
                let last = frames.and_then(|frames| frames.whole.last().copied());
                let since = disturbed.max(a).max(b).max(last.unwrap_or(a));
                let gap = world.now.saturating_duration_since(since);
                self.longest_gap = self.longest_gap.max(gap);
                assert!(
                    gap <= LONGEST_GAP,
                    "{viewer} has not seen {sender} for {gap:?}, last frame {:?}",
                    last.map(|last| last - world.start)
                );
            }
        }
    }

    /// A client is about to be replaced: its streams end here.
    pub(crate) fn comes_again(&mut self, world: &World, viewer: usize) {
        world.clients[viewer]
            .received
            .values()
            .for_each(|received| assert_orderly(received));
        self.read.retain(|(who, _), _| *who != viewer);
        self.frames
            .retain(|(who, sender), _| *who != viewer && *sender != viewer);
    }

    /// After the calm, which began long enough ago: everyone sees and hears whom they
    /// should, without interruption. Tells who sees whom.
    pub(crate) fn conclude(
        &self,
        world: &mut World,
        people: &People,
        since: Instant,
    ) -> BTreeMap<usize, BTreeSet<usize>> {
        let mut seen = BTreeMap::new();
        let vanished = people.vanished();
        for (viewer, _) in people.present() {
            let client = &world.clients[viewer];
            let recent = |r: &&Received| r.at >= since;
            let watched: BTreeSet<usize> = client
                .video()
                .filter(recent)
                .map(|r| usize::from(r.stamp.sender))
                .collect();
            assert_eq!(watched, people.visible_to(viewer), "seen by {viewer}");
            let heard: BTreeSet<u8> = client
                .sounds()
                .filter(recent)
                .map(|r| r.stamp.sender)
                .collect();
            assert_eq!(
                heard.len(),
                people.audible_to(viewer),
                "{viewer} hears {heard:?}"
            );
            for sender in &watched {
                let frames = &self.frames[&(viewer, *sender)].whole;
                let mut times: Vec<_> = frames.iter().copied().filter(|at| *at >= since).collect();
                times.extend([since, world.now]);
                times.sort_unstable();
                let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max();
                assert!(
                    gap.is_some_and(|gap| gap <= LONGEST_GAP_IN_CALM),
                    "{viewer} sees {sender} with gaps of {gap:?}"
                );
            }
            for received in client.received.values() {
                assert_orderly(received);
            }
            let told: BTreeSet<_> = client
                .slots
                .iter()
                .filter(|slot| slot.source.is_video())
                .map(|slot| slot.participant)
                .filter(|whom| !vanished.contains(whom))
                .collect();
            let shown = watched.iter().map(|who| participant(*who)).collect();
            assert_eq!(told, shown, "what {viewer} was told of its slots");
            seen.insert(viewer, watched);
        }
        self.judge_losses(world, people);
        seen
    }

    /// Nobody is lost but those who went silent.
    fn judge_losses(&self, world: &mut World, people: &People) {
        let vanished = people.vanished();
        for event in &world.events {
            if let SfuEvent::Lost {
                participant,
                reason,
            } = event
            {
                let expected = matches!(reason, LostReason::Silent | LostReason::NeverConnected);
                assert!(
                    expected && vanished.contains(participant),
                    "{event:?} was not to be"
                );
            }
        }
        let there: u64 = world
            .shards
            .iter()
            .map(|s| s.population().participants)
            .sum();
        let present = people.present().count() as u64;
        let silent = vanished.len() as u64;
        assert!((present..=present + silent).contains(&there), "{there}");
    }
}

/// A slot's stream on a network that loses and reorders: no packet twice, and in the order
/// of their numbers nothing goes back, neither time nor pictures nor a sender's frames.
pub(crate) fn assert_orderly(received: &[Received]) {
    let mut ordered: Vec<&Received> = received.iter().collect();
    ordered.sort_by_key(|r| r.sequence);
    for pair in ordered.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        assert!(b.sequence > a.sequence, "came twice: {a:?} and {b:?}");
        let forward = b.timestamp.wrapping_sub(a.timestamp);
        assert!(forward < u32::MAX / 2, "time went back: {a:?} then {b:?}");
        let same_stream = (a.stamp.sender, a.stamp.layer) == (b.stamp.sender, b.stamp.layer);
        let same_frame = same_stream && a.stamp.frame == b.stamp.frame;
        if let (Some(old), Some(new)) = (a.picture, b.picture) {
            let step = new.wrapping_sub(old) & 0x7fff;
            assert!(step < 0x4000, "pictures went back: {a:?} then {b:?}");
            assert_eq!(step == 0, same_frame, "{a:?} then {b:?}");
            assert_eq!(forward == 0, same_frame, "{a:?} then {b:?}");
        }
        if same_stream && b.stamp.frame < a.stamp.frame {
            // The sender came again and counts from the beginning.
            assert!(b.stamp.frame < a.stamp.frame / 2 + 40, "{a:?} then {b:?}");
        }
        if !same_stream && b.is_video && b.sequence == a.sequence + 1 {
            assert!(b.stamp.is_key && b.stamp.part == 0, "{a:?} then {b:?}");
        }
    }
}
