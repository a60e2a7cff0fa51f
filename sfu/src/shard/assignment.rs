//! Who gets to see and hear whom, and in which layer.

use std::time::Instant;

use super::{
    Due, PeerKey, RoomKey, Shard, SlotRef, TICK, TrackRef, outlet::Filling, peer::Peer,
    room::Published,
};
use crate::{
    layer::{Demand, allocate, desired},
    slot::assign,
};
use conclave_protocol::signal::Source;

/// Each so many ticks of a room its layers are looked at.
const LAYER_TICKS: u64 = 2;

/// A room whose last packet is older than this many ticks sleeps until the next one.
const SLEEPS_AFTER: u32 = 10;

/// More speakers than anyone can follow.
const MOST_SPEAKERS: usize = 8;

impl Shard {
    /// Brings a room's slots and notices up to date.
    pub(super) fn settle(&mut self, now: Instant, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key.0) else {
            return;
        };
        room.is_dirty = false;
        let members = room.members.clone();
        let published = self.published(&members);
        let sounds = self.rooms[key.0].wanted_sounds(&published);
        for member in &members {
            let Some(peer) = self.peers.get(member.0).filter(|peer| peer.connected) else {
                continue;
            };
            let not_own = |track: &TrackRef| track.peer != *member;
            let audible: Vec<TrackRef> = sounds.iter().copied().filter(not_own).collect();
            let cameras = wanted_videos(peer, *member, &published, Source::Camera);
            let screens = wanted_videos(peer, *member, &published, Source::Screen);
            for (accepts, wanted) in [
                (Source::Microphone, audible),
                (Source::Camera, cameras),
                (Source::Screen, screens),
            ] {
                self.fill(now, *member, accepts, &wanted, &published);
            }
        }
        self.announce(key, &members);
        self.count_population();
    }

    fn published(&self, members: &[PeerKey]) -> Vec<Published> {
        let mut published = vec![];
        for member in members {
            let Some(peer) = self.peers.get(member.0) else {
                continue;
            };
            published.extend(peer.published().map(|(track, t)| Published {
                track: TrackRef {
                    peer: *member,
                    track,
                },
                participant: peer.participant,
                source: t.source,
            }));
        }
        published
    }

    /// Fills a subscriber's slots of one kind.
    fn fill(
        &mut self,
        now: Instant,
        key: PeerKey,
        accepts: Source,
        wanted: &[TrackRef],
        published: &[Published],
    ) {
        let Some(peer) = self.peers.get(key.0) else {
            return;
        };
        let (slots, before): (Vec<usize>, Vec<Option<TrackRef>>) = peer
            .outlets
            .iter()
            .enumerate()
            .filter(|(_, outlet)| kind_of_slot(outlet.accepts) == accepts)
            .map(|(slot, outlet)| (slot, outlet.filling.as_ref().map(|f| f.track)))
            .unzip();
        let mut after = before.clone();
        assign(&mut after, wanted);
        let changes = slots.iter().zip(before.iter().zip(&after));
        for (&slot, (old, new)) in changes.filter(|(_, (old, new))| old != new) {
            let slot_ref = SlotRef { peer: key, slot };
            if let Some(old) = old {
                self.unsubscribe(*old, slot_ref);
            }
            let filling = new.and_then(|new| published.iter().find(|p| p.track == new));
            let Some(peer) = self.peers.get_mut(key.0) else {
                return;
            };
            peer.outlets[slot].filling =
                filling.map(|p| Filling::new(p.track, p.participant, p.source));
            peer.layers_stale = true;
            self.mark_peer(key);
            if let Some(filling) = filling
                && let Some(publisher) = self.peers.get_mut(filling.track.peer.0)
            {
                publisher.tracks[filling.track.track]
                    .subscribers
                    .push(slot_ref);
            }
        }
        // A newcomer is served now, not when its layers are next looked at.
        if self.peers.get(key.0).is_some_and(|peer| peer.layers_stale) {
            self.choose_layers(now, key);
        }
    }

    pub(super) fn unsubscribe(&mut self, track: TrackRef, slot: SlotRef) {
        if let Some(publisher) = self.peers.get_mut(track.peer.0) {
            publisher.tracks[track.track]
                .subscribers
                .retain(|subscriber| *subscriber != slot);
        }
    }

    /// Tells everyone in the room what has changed for them.
    fn announce(&mut self, key: RoomKey, members: &[PeerKey]) {
        let publications: Vec<_> = members
            .iter()
            .filter_map(|member| self.peers.get(member.0))
            .filter(|peer| peer.connected)
            .map(Peer::publication)
            .collect();
        let speakers: Vec<_> = self.rooms[key.0]
            .loudness
            .speakers()
            .filter_map(|track| Some(self.peers.get(track.peer.0)?.participant))
            .take(MOST_SPEAKERS)
            .collect();
        for member in members {
            let Some(peer) = self.peers.get_mut(member.0) else {
                continue;
            };
            let others = publications
                .iter()
                .filter(|p| p.participant != peer.participant)
                .cloned()
                .collect();
            peer.control.set_publications(others);
            peer.control.set_slots(peer.fillings());
            peer.control.set_speakers(speakers.clone());
            self.mark_peer(*member);
        }
    }

    /// Chooses the layer of each of a subscriber's videos.
    pub(super) fn choose_layers(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        peer.layers_stale = false;
        let estimate = peer.estimate;
        let mut watched: Vec<(usize, TrackRef, usize, Option<u16>)> = peer
            .outlets
            .iter()
            .enumerate()
            .filter_map(|(slot, outlet)| {
                let filling = outlet.filling.as_ref()?;
                let wish = peer.wish_for(filling.participant, filling.source);
                let rank = wish.map_or(usize::MAX, |wish| rank(peer, wish));
                let height = wish.map(|wish| wish.size.height);
                filling
                    .source
                    .is_video()
                    .then_some((slot, filling.track, rank, height))
            })
            .collect();
        watched.sort_by_key(|(slot, _, rank, _)| (*rank, *slot));
        let demands: Vec<Demand> = watched
            .iter()
            .map(|(_, track, _, height)| Demand {
                layers: self
                    .peers
                    .get(track.peer.0)
                    .map_or_else(Vec::new, |p| p.tracks[track.track].layer_states(now)),
                height: *height,
            })
            .collect();
        let chosen = allocate(estimate, &demands);
        let mut needed = vec![];
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        for ((slot, track, ..), choice) in watched.iter().zip(chosen) {
            if let Some(filling) = &mut peer.outlets[*slot].filling {
                let target = filling.gate.settle(now, choice);
                let changed = filling.target != target || filling.current.is_none();
                filling.target = target;
                if changed && filling.is_waiting_for(target) {
                    needed.push((*track, target));
                }
            }
        }
        peer.seek(desired(&demands));
        for (track, layer) in needed {
            self.want_key_frame(now, track, layer);
        }
    }

    /// The regular look at a room in which packets flow.
    pub(super) fn tick(&mut self, now: Instant, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key.0) else {
            return;
        };
        room.ticks += 1;
        if room.loudness.rank(now) {
            self.mark_room(key);
        }
        let room = &mut self.rooms[key.0];
        let asleep = room
            .last_packet
            .is_none_or(|last| now.saturating_duration_since(last) > TICK * SLEEPS_AFTER);
        if !asleep {
            self.timers
                .set(Due::Room(key), &mut room.tick, Some(now + TICK));
        }
        if room.ticks.is_multiple_of(LAYER_TICKS) {
            for member in room.members.clone() {
                let watches = |peer: &Peer| {
                    peer.outlets
                        .iter()
                        .any(|o| o.filling.as_ref().is_some_and(|f| f.source.is_video()))
                };
                if self.peers.get(member.0).is_some_and(watches) {
                    self.choose_layers(now, member);
                }
            }
        }
    }
}

/// A sound of a shared screen comes in the slots for voices.
fn kind_of_slot(accepts: Source) -> Source {
    match accepts {
        Source::ScreenSound => Source::Microphone,
        other => other,
    }
}

/// The place of a wish in the order of preference: pinned first, then as wished.
fn rank(peer: &Peer, wish: &conclave_protocol::control::VideoWish) -> usize {
    let wishes = peer.wishes.as_deref().unwrap_or_default();
    let at = wishes
        .iter()
        .position(|w| w == wish)
        .unwrap_or(wishes.len());
    if wish.pinned { at } else { wishes.len() + at }
}

/// The videos of one kind that a subscriber wants, the most wanted first.
fn wanted_videos(
    peer: &Peer,
    key: PeerKey,
    published: &[Published],
    source: Source,
) -> Vec<TrackRef> {
    let mut offered: Vec<(usize, TrackRef)> = published
        .iter()
        .filter(|p| p.source == source && p.track.peer != key)
        .map(|p| {
            let wish = peer.wish_for(p.participant, source);
            (wish.map_or(usize::MAX, |wish| rank(peer, wish)), p.track)
        })
        .collect();
    // A shared screen is shown wished or not; who wants cameras says which.
    if peer.wishes.is_some() && source == Source::Camera {
        offered.retain(|(rank, _)| *rank != usize::MAX);
    }
    offered.sort_by_key(|(rank, _)| *rank);
    offered.into_iter().map(|(_, track)| track).collect()
}
