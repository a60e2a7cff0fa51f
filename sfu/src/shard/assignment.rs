//! Who gets to see and hear whom, and in which layer.

use std::time::Instant;

use conclave_protocol::{ParticipantId, signal::Source};

use super::{
    Due, PeerKey, RoomKey, Shard, SlotRef, TICK, outlet::Filling, peer::Peer, roll::Roll,
    room::Stale, track::TrackKey,
};
use crate::{
    layer::{Demand, Preference, allocate, desired, falls_short},
    slot::assign,
};

/// Each so many ticks of a room its layers are looked at.
const LAYER_TICKS: u64 = 2;

/// A room whose last packet is older than this many ticks sleeps until the next one.
const SLEEPS_AFTER: u32 = 10;

/// More speakers than anyone can follow.
const MOST_SPEAKERS: usize = 8;

/// More voices than anyone has slots for; one's own is among them.
const MOST_VOICES: usize = 17;

/// A video that fills a slot, as far as its layer depends on it.
struct Watched {
    /// Its place in the order of preference.
    rank: usize,
    slot: usize,
    track: TrackKey,
    /// How high it is shown, in pixels.
    height: Option<u16>,
    keeps: Preference,
    paused: bool,
    tried: bool,
}

impl Shard {
    /// Brings a room's slots and notices up to date.
    pub(super) fn settle(&mut self, now: Instant, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key.0) else {
            return;
        };
        let stale = std::mem::replace(&mut room.stale, Stale::nobody());
        let members = match stale {
            Stale::Some(members) => members,
            Stale::All => room.members.clone(),
        };
        let sounds = room.wanted_sounds(MOST_VOICES);
        let speakers: Vec<ParticipantId> = room
            .loudness
            .speakers()
            .filter_map(|track| Some(self.tracks.get(track.0)?.participant))
            .take(MOST_SPEAKERS)
            .collect();
        let version = room.roll.version();
        for member in members {
            self.seat(now, member, &sounds);
            let Some(peer) = self.peers.get_mut(member.0) else {
                continue;
            };
            if std::mem::take(&mut peer.slots_untold) || !peer.control.knows_slots() {
                peer.control.set_slots(peer.fillings());
            }
            peer.control.set_speakers(&speakers);
            // Who has nothing to hear is not woken.
            if peer.control.has_news() || peer.told != Some(version) {
                self.mark_peer(member);
            }
        }
    }

    /// Decides which tracks a subscriber gets.
    fn seat(&mut self, now: Instant, key: PeerKey, sounds: &[TrackKey]) {
        for accepts in [Source::Microphone, Source::Camera, Source::Screen] {
            let Some(peer) = self.peers.get(key.0).filter(|peer| peer.connected) else {
                return;
            };
            let Some(room) = self.rooms.get(peer.room.0) else {
                return;
            };
            let slots: Vec<usize> = peer
                .outlets
                .iter()
                .enumerate()
                .filter(|(_, outlet)| kind_of_slot(outlet.accepts) == accepts)
                .map(|(slot, _)| slot)
                .collect();
            let own = |track: &TrackKey| peer.sections.iter().any(|s| s.track == *track);
            let wanted = match accepts {
                Source::Microphone => sounds.iter().copied().filter(|t| !own(t)).collect(),
                _ => wanted_videos(peer, &room.roll, accepts, slots.len()),
            };
            self.fill(key, &slots, &wanted);
        }
        // A newcomer is served now, not when its layers are next looked at.
        if self.peers.get(key.0).is_some_and(|peer| peer.layers_stale) {
            self.choose_layers(now, key);
        }
    }

    /// Fills a subscriber's slots of one kind.
    fn fill(&mut self, key: PeerKey, slots: &[usize], wanted: &[TrackKey]) {
        let Some(peer) = self.peers.get(key.0) else {
            return;
        };
        let before: Vec<Option<TrackKey>> = slots
            .iter()
            .map(|&slot| peer.outlets[slot].filling.as_ref().map(|f| f.track))
            .collect();
        let mut after = before.clone();
        assign(&mut after, wanted);
        let changes = slots.iter().zip(before.iter().zip(&after));
        for (&slot, (old, new)) in changes.filter(|(_, (old, new))| old != new) {
            let slot_ref = SlotRef { peer: key, slot };
            if let Some(old) = old {
                self.unsubscribe(*old, slot_ref);
            }
            let Some(peer) = self.peers.get_mut(key.0) else {
                return;
            };
            peer.layers_stale = true;
            peer.slots_untold = true;
            let outlet = &mut peer.outlets[slot];
            if let Some(filling) = outlet.filling.take() {
                self.population.slot_emptied(filling.source.is_video());
            }
            if let Some(new) = new
                && let Some(track) = self.tracks.get_mut(new.0)
            {
                let is_simulcast = track.layers.len() > 1;
                let filling = Filling::new(*new, track.participant, track.source, is_simulcast);
                outlet.fill(&mut peer.rtc, filling);
                track.subscribers.push(slot_ref);
                self.population.slot_filled(track.source.is_video());
                self.mark_wants(*new);
            }
            self.mark_peer(key);
        }
    }

    pub(super) fn unsubscribe(&mut self, key: TrackKey, slot: SlotRef) {
        if let Some(track) = self.tracks.get_mut(key.0) {
            track.subscribers.retain(|subscriber| *subscriber != slot);
        }
        self.mark_wants(key);
    }

    /// Chooses the layer of each of a subscriber's videos.
    pub(super) fn choose_layers(&mut self, now: Instant, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        peer.layers_stale = false;
        let estimate = peer.estimate;
        let mut watched: Vec<Watched> = peer
            .outlets
            .iter()
            .enumerate()
            .filter_map(|(slot, outlet)| {
                let filling = outlet.filling.as_ref()?;
                let wish = peer.wish_for(filling.participant, filling.source);
                filling.source.is_video().then(|| Watched {
                    rank: wish.map_or(usize::MAX, |wish| rank(peer, wish)),
                    slot,
                    track: filling.track,
                    height: wish.map(|wish| wish.size.height),
                    keeps: match filling.source {
                        Source::Screen => Preference::Detail,
                        _ => Preference::Motion,
                    },
                    paused: filling.is_paused(),
                    tried: false,
                })
            })
            .collect();
        watched.sort_by_key(|watched| (watched.rank, watched.slot));
        if let (Some(first), Some(estimate)) = (watched.first_mut(), estimate)
            && let Some(filling) = &mut peer.outlets[first.slot].filling
        {
            first.tried = filling.trial.look(now, first.paused, estimate);
        }
        let demands: Vec<Demand> = watched
            .iter()
            .map(|watched| Demand {
                layers: self
                    .tracks
                    .get(watched.track.0)
                    .map_or_else(Vec::new, |track| track.layer_states(now)),
                height: watched.height,
                keeps: watched.keeps,
                paused: watched.paused,
                tried: watched.tried,
            })
            .collect();
        let chosen = allocate(estimate, &demands);
        let is_short = falls_short(&demands, &chosen);
        let mut needed = vec![];
        let mut moved = vec![];
        let mut paused_or_resumed = false;
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        for (watched, choice) in watched.iter().zip(chosen) {
            if let Some(filling) = &mut peer.outlets[watched.slot].filling {
                let target = filling.gate.settle(now, choice);
                if filling.target() != target {
                    moved.push(watched.track);
                }
                let needs_key_frame = filling.head_for(target);
                paused_or_resumed |= filling.is_paused() != watched.paused;
                if needs_key_frame && let Some(stream) = filling.target_stream() {
                    needed.push((watched.slot, watched.track, stream));
                }
            }
        }
        if paused_or_resumed {
            peer.control.set_slots(peer.fillings());
        }
        peer.seek(now, desired(&demands), is_short);
        for track in moved {
            self.mark_wants(track);
        }
        for (slot, track, layer) in needed {
            let slot = SlotRef { peer: key, slot };
            if !self.serve_recent(now, slot, track, layer) {
                self.want_key_frame(now, track, layer);
            }
        }
        if paused_or_resumed {
            self.mark_peer(key);
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
        let members = room.members.clone();
        let look_at_layers = room.ticks.is_multiple_of(LAYER_TICKS);
        self.tell_voices(key);
        if look_at_layers {
            self.tell_layers(now, key);
            for member in members {
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

/// The videos of one kind that a subscriber wants, the most wanted first; at most so many.
fn wanted_videos(peer: &Peer, roll: &Roll, source: Source, most: usize) -> Vec<TrackKey> {
    let others = roll
        .of(source)
        .filter(|p| p.participant != peer.participant)
        .map(|p| p.track);
    let Some(wishes) = &peer.wishes else {
        return others.take(most).collect();
    };
    let (pinned, plain): (Vec<_>, Vec<_>) = wishes
        .iter()
        .filter(|wish| wish.source == source && wish.participant != peer.participant)
        .partition(|wish| wish.pinned);
    let mut wanted: Vec<TrackKey> = vec![];
    for wish in pinned.into_iter().chain(plain) {
        if wanted.len() == most {
            return wanted;
        }
        if let Some(track) = roll.find(wish.participant, source)
            && !wanted.contains(&track)
        {
            wanted.push(track);
        }
    }
    // A shared screen is shown wished or not; who wants cameras says which.
    if source == Source::Screen {
        for track in others {
            if wanted.len() < most && !wanted.contains(&track) {
                wanted.push(track);
            }
        }
    }
    wanted
}
