//! How a participant leaves.

use std::time::Instant;

use str0m::Output;

use super::{
    PeerKey, Shard, SlotRef,
    peer::{Broken, Peer},
    track::TrackKey,
};
use crate::{LostReason, SfuEvent};

impl Shard {
    /// Takes a participant out and says so.
    pub(super) fn lose(&mut self, now: Instant, key: PeerKey, reason: LostReason) {
        let Some(peer) = self.peers.get(key.0) else {
            return;
        };
        let participant = peer.participant;
        tracing::info!(%participant, ?reason, "media connection lost");
        self.expel(now, key, reason != LostReason::Failed);
        self.events.push_back(SfuEvent::Lost {
            participant,
            reason,
        });
    }

    /// Takes a participant out of everything.
    pub(super) fn expel(&mut self, now: Instant, key: PeerKey, say_goodbye: bool) {
        let Some(mut peer) = self.peers.try_remove(key.0) else {
            return;
        };
        if say_goodbye && peer.close().is_ok() && peer.advance(now).is_ok() {
            while let Ok(Output::Transmit(mut transmit)) = skip_events(&mut peer) {
                peer.path.redirect(&mut transmit);
                self.outbox.push_back(transmit);
            }
        }
        self.participants.remove(&peer.participant);
        self.demux.remove(key, &peer.ufrag, &peer.addresses);
        for address in std::mem::take(&mut peer.addresses) {
            self.address_gone(address);
        }
        for (slot, outlet) in peer.outlets.iter().enumerate() {
            if let Some(filling) = &outlet.filling {
                self.unsubscribe(filling.track, SlotRef { peer: key, slot });
                self.population.slot_emptied(filling.source.is_video());
            }
        }
        for section in &peer.sections {
            self.forget_track(now, section.track);
        }
        let Some(room) = self.rooms.get_mut(peer.room.0) else {
            return;
        };
        room.members.retain(|member| *member != key);
        if room.members.is_empty() {
            // What other shards publish in it concerns nobody here any more.
            let elsewhere: Vec<TrackKey> = room.roll.tracks().collect();
            for track in elsewhere {
                self.forget_track(now, track);
            }
            let room = self.rooms.remove(peer.room.0);
            self.room_names.remove(&room.id);
            self.room_closed(&room.id);
        }
    }
}

/// Polls past what no longer concerns anyone.
fn skip_events(peer: &mut Peer) -> Result<Output, Broken> {
    loop {
        match peer.poll()? {
            Output::Event(_) => {}
            output => return Ok(output),
        }
    }
}
