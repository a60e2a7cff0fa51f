//! What a participant's state machine has to say.

use std::time::Instant;

use conclave_protocol::control::{CHANNEL_LABEL, ControlRequest};
use str0m::{
    Event, IceConnectionState,
    bwe::BweKind,
    channel::{ChannelData, ChannelId},
    media::KeyframeRequest,
};

use super::{
    PeerKey, Shard,
    peer::{NackedBy, NackedStream},
};
use crate::{DropReason, LostReason, SfuEvent, layer::BitRate, srtp_profile};

/// A new estimate that differs by less than this part of the old one changes nothing.
const ESTIMATE_STEP: u64 = 20;

impl Shard {
    pub(super) fn handle_event(&mut self, now: Instant, key: PeerKey, event: Event) {
        match event {
            Event::RtpPacket(packet) => self.take_packet(now, key, &packet),
            Event::KeyframeRequest(request) => self.key_frame_asked(now, key, request),
            Event::EgressBitrateEstimate(estimate) => self.estimated(key, &estimate),
            Event::ChannelData(data) => self.channel_data(now, key, &data),
            Event::ChannelOpen(id, label) => self.channel_opened(key, id, &label),
            Event::ChannelClose(id) => {
                if let Some(peer) = self.peers.get_mut(key.0) {
                    peer.control.closed(id);
                }
            }
            // What is still to be said is said when the participant is driven.
            Event::ChannelBufferedAmountLow(_) => self.mark_peer(key),
            Event::Connected => self.connected(now, key),
            // Before the first connection more candidates may turn up.
            Event::IceConnectionStateChange(IceConnectionState::Disconnected)
                if self.peers.get(key.0).is_some_and(|peer| peer.connected) =>
            {
                self.lose(now, key, LostReason::Silent);
            }
            Event::MediaEgressStats(stats) => {
                let stream = (NackedBy::Subscriber, stats.mid, stats.rid);
                self.counters.nacks_in += self.newly_nacked(key, stream, stats.nacks);
            }
            Event::MediaIngressStats(stats) => {
                let stream = (NackedBy::Us, stats.mid, stats.rid);
                self.counters.nacks_out += self.newly_nacked(key, stream, stats.nacks);
            }
            Event::Closed => self.lose(now, key, LostReason::Closed),
            _ => {}
        }
    }

    fn newly_nacked(&mut self, key: PeerKey, stream: NackedStream, total: u64) -> u64 {
        let peer = self.peers.get_mut(key.0);
        peer.map_or(0, |peer| peer.newly_nacked(stream, total))
    }

    fn connected(&mut self, now: Instant, key: PeerKey) {
        if let Some(profile) = srtp_profile::take_noted() {
            self.counters.handshake(profile);
        }
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        if std::mem::replace(&mut peer.connected, true) {
            return;
        }
        let participant = peer.participant;
        if let Some(transport) = peer.transport {
            self.counters.connect(transport);
        }
        self.events.push_back(SfuEvent::Connected { participant });
        self.update_published(now, key);
        self.mark_slots(key);
    }

    fn key_frame_asked(&mut self, now: Instant, key: PeerKey, request: KeyframeRequest) {
        self.counters.key_frames_asked += 1;
        let Some(peer) = self.peers.get(key.0) else {
            return;
        };
        let filling = peer
            .outlets
            .iter()
            .find(|outlet| outlet.sdp_mid == request.mid)
            .and_then(|outlet| outlet.filling.as_ref());
        if let Some(filling) = filling
            && filling.source.is_video()
            && let Some(layer) = filling.stream()
        {
            let track = filling.track;
            self.want_key_frame(now, track, layer);
        }
    }

    fn estimated(&mut self, key: PeerKey, estimate: &BweKind) {
        let BweKind::Twcc { estimate, .. } = estimate else {
            return;
        };
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        let new = estimate.as_u64();
        let matters = peer
            .estimate
            .is_none_or(|old| old.0.abs_diff(new) > old.0 / ESTIMATE_STEP);
        if matters {
            peer.estimate = Some(BitRate(new));
            self.mark_layers(key);
        }
    }

    fn channel_opened(&mut self, key: PeerKey, id: ChannelId, label: &str) {
        if label != CHANNEL_LABEL {
            return;
        }
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        peer.control.opened(id);
        // Told when all is sent, so that what did not fit can follow.
        if let Some(mut channel) = peer.rtc.channel(id) {
            channel.set_buffered_amount_low_threshold(0);
        }
        peer.told = None;
        self.mark_slots(key);
    }

    fn channel_data(&mut self, now: Instant, key: PeerKey, data: &ChannelData) {
        let Some(peer) = self.peers.get_mut(key.0) else {
            return;
        };
        if !peer.control.is_channel(data.id) {
            return;
        }
        match peer.control.read(now, &data.data) {
            Some(ControlRequest::Wishes { videos }) => {
                for outlet in &mut peer.outlets {
                    if let Some(filling) = &mut outlet.filling {
                        filling.gate.open();
                    }
                }
                peer.wishes = Some(videos);
                peer.layers_stale = true;
                self.mark_slots(key);
            }
            Some(ControlRequest::Publishing { sources }) => {
                let unknown = sources
                    .iter()
                    .find(|source| !peer.sections.iter().any(|s| s.source == **source));
                if let Some(source) = unknown {
                    let detail = format!("no track for {source:?} was offered");
                    peer.control.refuse(detail);
                    self.counters.drop_one(DropReason::BadRequest);
                } else {
                    peer.publishing = Some(sources);
                    self.update_published(now, key);
                }
            }
            Some(ControlRequest::Probe {}) => {
                peer.control.probed();
                self.begin_anew(now, key);
            }
            None => self.counters.drop_one(DropReason::BadRequest),
        }
        self.mark_peer(key);
    }
}
