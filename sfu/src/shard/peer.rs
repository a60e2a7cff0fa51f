//! One participant's connection: its WebRTC state machine, what it sends and what it gets.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use conclave_protocol::{
    ParticipantId,
    control::{Publication, SlotFilling, VideoWish},
    signal::Source,
};
use str0m::{
    Input, Output, Reason, Rtc,
    bwe::Bitrate,
    media::{Mid, Rid},
    net::Receive,
    rtp::{RtpPacket, Ssrc},
};

use super::{RoomKey, TrackRef, control::Control, outlet::Outlet, timers::Deadline, track::Track};
use crate::{
    Transport,
    layer::BitRate,
    negotiation::{FIRST_ESTIMATE, Negotiated},
    transport::TransportAddress,
};

/// A connection that has not come about by then never will.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(30);

/// How often one that sends nothing is called for its pacer's sake.
const IDLE_STEP: Duration = Duration::from_millis(500);

/// No client has so many streams; a client that sends more makes us forget the old ones.
const MOST_STREAMS: usize = 64;

/// The state machine failed beyond repair, by an error or a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// Who reports packets missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NackedBy {
    Subscriber,
    Us,
}

/// A stream of which packets are reported missing.
pub(crate) type NackedStream = (NackedBy, Mid, Option<Rid>);

/// One participant.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) participant: ParticipantId,
    pub(crate) room: RoomKey,
    pub(crate) rtc: Rtc,
    pub(crate) ufrag: String,
    pub(crate) addresses: Vec<TransportAddress>,
    /// What carries everything but checks, once the client has chosen.
    pub(crate) transport: Option<Transport>,
    pub(crate) resend_types: u128,
    pub(crate) tracks: Vec<Track>,
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) control: Control,
    /// What the client says it publishes; until it says so, what it sends.
    pub(crate) publishing: Option<Vec<Source>>,
    /// What the client wants to see; until it says so, everyone as they came.
    pub(crate) wishes: Option<Vec<VideoWish>>,
    pub(crate) estimate: Option<BitRate>,
    sought: Option<BitRate>,
    pub(crate) connected: bool,
    pub(crate) connect_by: Instant,
    /// When the state machine wants to be called.
    pub(crate) rtc_due: Instant,
    /// When a key-frame request has to be looked at.
    pub(crate) key_frame_due: Option<Instant>,
    pub(crate) deadline: Deadline,
    /// Something was written that has to be driven out.
    pub(crate) is_dirty: bool,
    /// The choice of layers has to be made anew.
    pub(crate) layers_stale: bool,
    streams: Vec<(Ssrc, usize, usize)>,
    /// How many reports of losses were counted so far.
    nacked: Vec<(NackedStream, u64)>,
}

impl Peer {
    pub(crate) fn new(
        participant: ParticipantId,
        room: RoomKey,
        negotiated: Negotiated,
        now: Instant,
    ) -> Self {
        Self {
            participant,
            room,
            rtc: negotiated.rtc,
            ufrag: negotiated.ufrag,
            addresses: vec![],
            transport: None,
            resend_types: negotiated.resend_types,
            tracks: negotiated.tracks.into_iter().map(Track::new).collect(),
            outlets: negotiated.slots.into_iter().map(Outlet::new).collect(),
            control: Control::default(),
            publishing: None,
            wishes: None,
            estimate: None,
            sought: None,
            connected: false,
            connect_by: now + CONNECT_TIME,
            rtc_due: now,
            key_frame_due: None,
            deadline: Deadline::default(),
            is_dirty: false,
            layers_stale: false,
            streams: vec![],
            nacked: vec![],
        }
    }

    /// Hands a datagram to the state machine. An error means that it did not accept this
    /// datagram; whether it lives on shows when it is polled.
    pub(crate) fn receive(&mut self, now: Instant, receive: Receive<'_>) -> Result<bool, Broken> {
        contained(|| self.rtc.handle_input(Input::Receive(now, receive))).map(|r| r.is_ok())
    }

    pub(crate) fn advance(&mut self, now: Instant) -> Result<(), Broken> {
        contained(|| self.rtc.handle_input(Input::Timeout(now)))?.map_err(|_| Broken)
    }

    pub(crate) fn poll(&mut self) -> Result<Output, Broken> {
        contained(|| self.rtc.poll_output())?.map_err(|_| Broken)
    }

    /// Says goodbye (RTCP BYE, DTLS close_notify); the rest is polled.
    pub(crate) fn close(&mut self) -> Result<(), Broken> {
        contained(|| self.rtc.close())?.map_err(|_| Broken)
    }

    /// Takes note of when the state machine wants to be called. The pacer of one that sends
    /// nothing would have itself called many times a second, to keep up a stream of padding.
    pub(crate) fn wait_until(&mut self, at: Instant, now: Instant) {
        let is_pacer = matches!(self.rtc.last_timeout_reason(), Reason::Pacer(_));
        let sends = self.outlets.iter().any(|outlet| outlet.filling.is_some());
        self.rtc_due = if self.connected && is_pacer && !sends {
            at.max(now + IDLE_STEP)
        } else {
            at
        };
    }

    /// When anything about this peer has to be looked at.
    pub(crate) fn due(&self) -> Instant {
        let mut due = self.rtc_due;
        if let Some(key_frame) = self.key_frame_due {
            due = due.min(key_frame);
        }
        if !self.connected {
            due = due.min(self.connect_by);
        }
        due
    }

    /// The track and layer that a packet belongs to.
    pub(crate) fn locate(&mut self, packet: &RtpPacket) -> Option<(usize, usize)> {
        let ssrc = packet.header.ssrc;
        if let Some((_, track, layer)) = self.streams.iter().find(|(s, ..)| *s == ssrc) {
            return Some((*track, *layer));
        }
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx(&ssrc)?;
        let (mid, rid) = (stream.mid(), stream.rid());
        let track = self.tracks.iter().position(|t| t.mid == mid)?;
        let layer = self.tracks[track]
            .layers
            .iter()
            .position(|l| l.rid == rid)?;
        if self.streams.len() >= MOST_STREAMS {
            self.streams.clear();
        }
        self.streams.push((ssrc, track, layer));
        Some((track, layer))
    }

    pub(crate) fn is_on(&self, track: &Track) -> bool {
        match &self.publishing {
            Some(sources) => sources.contains(&track.source),
            None => track.heard,
        }
    }

    /// The tracks that are on, with their places.
    pub(crate) fn published(&self) -> impl Iterator<Item = (usize, &Track)> {
        self.tracks
            .iter()
            .enumerate()
            .filter(|(_, track)| self.connected && self.is_on(track))
    }

    pub(crate) fn publication(&self) -> Publication {
        Publication {
            participant: self.participant,
            sources: self.published().map(|(_, track)| track.source).collect(),
        }
    }

    pub(crate) fn fillings(&self) -> Vec<SlotFilling> {
        self.outlets
            .iter()
            .filter_map(|outlet| {
                let filling = outlet.filling.as_ref()?;
                Some(SlotFilling {
                    mid: outlet.mid.clone(),
                    participant: filling.participant,
                    source: filling.source,
                })
            })
            .collect()
    }

    /// Takes this track out of its slot, if it is in one.
    pub(crate) fn release(&mut self, track: TrackRef) {
        for outlet in &mut self.outlets {
            if outlet.filling.as_ref().is_some_and(|f| f.track == track) {
                outlet.filling = None;
            }
        }
    }

    /// How large the client shows a video, and where it stands in its wishes.
    pub(crate) fn wish_for(
        &self,
        participant: ParticipantId,
        source: Source,
    ) -> Option<&VideoWish> {
        self.wishes
            .as_ref()?
            .iter()
            .find(|wish| wish.participant == participant && wish.source == source)
    }

    /// Has the estimator find out whether the path carries this much. It probes at up to
    /// twice the rate and takes the result for the truth, so it must not be told to seek
    /// less than what the path is supposed to carry anyway.
    pub(crate) fn seek(&mut self, rate: BitRate) {
        let rate = rate.max(BitRate(FIRST_ESTIMATE.as_u64()));
        let matters = self
            .sought
            .is_none_or(|old| old.0.abs_diff(rate.0) > old.0 / 10);
        if matters {
            self.sought = Some(rate);
            let wanted = Bitrate::bps(rate.0);
            self.rtc.bwe().set_bitrate(Bitrate::ZERO, wanted);
        }
    }

    /// How many of a stream's reports of losses are new.
    pub(crate) fn newly_nacked(&mut self, stream: NackedStream, total: u64) -> u64 {
        if let Some((_, counted)) = self.nacked.iter_mut().find(|(s, _)| *s == stream) {
            return total.saturating_sub(std::mem::replace(counted, total));
        }
        self.nacked.push((stream, total));
        total
    }

    /// Sends a key-frame request to the client. False when it has no such stream (yet).
    pub(crate) fn request_key_frame(&mut self, mid: Mid, rid: Option<Rid>) -> bool {
        let mut direct = self.rtc.direct_api();
        let Some(stream) = direct.stream_rx_by_mid(mid, rid) else {
            return false;
        };
        stream.request_keyframe(str0m::media::KeyframeRequestKind::Pli);
        true
    }

    pub(crate) fn schedule_key_frames(&mut self) {
        self.key_frame_due = self.tracks.iter().filter_map(Track::poll_timeout).min();
    }
}

/// Keeps a panic inside one connection's state machine from taking the others along. The
/// connection is not used afterwards.
fn contained<R>(f: impl FnOnce() -> R) -> Result<R, Broken> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| Broken)
}
