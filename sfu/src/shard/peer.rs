//! One participant's connection: its WebRTC state machine, what it sends and what it gets.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use conclave_protocol::{
    ParticipantId,
    control::{SlotFilling, VideoWish},
    signal::Source,
};
use slab::Slab;
use str0m::{
    Input, Output, Reason, Rtc,
    bwe::Bitrate,
    media::{Mid, Rid},
    net::Receive,
    rtp::{RtpPacket, Ssrc},
};

use super::{
    RoomKey,
    control::Control,
    outlet::Outlet,
    path::Path,
    roll::Version,
    room::Room,
    timers::{Deadline, GRID},
    track::TrackKey,
};
use crate::{
    Transport,
    layer::BitRate,
    negotiation::{FIRST_ESTIMATE, Negotiated},
    transport::TransportAddress,
};

/// A connection that has not come about by then never will.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(30);

/// Without a packet of media in either direction for this long, a connection is quiet.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// How often a quiet one is called for the sake of pacing and estimates.
const IDLE_STEP: Duration = Duration::from_millis(500);

/// Missing packets and arrivals are reported to publishers at most so often.
const REPORT_STEP: Duration = Duration::from_millis(5);

/// Quiet ones are called together.
const IDLE_GRID: Duration = Duration::from_millis(100);

/// No client has so many streams; a client that sends more makes us forget the old ones.
const MOST_STREAMS: usize = 64;

/// How often the estimator is asked again whether there is more.
const SEEK_AGAIN: Duration = Duration::from_secs(4);

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

/// One sending section of a participant and the track that comes on it.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) mid: Mid,
    pub(crate) source: Source,
    /// The names of its layers, low to high.
    pub(crate) rids: Vec<Option<Rid>>,
    pub(crate) track: TrackKey,
}

/// One participant.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) participant: ParticipantId,
    pub(crate) room: RoomKey,
    pub(crate) rtc: Rtc,
    pub(crate) ufrag: String,
    pub(crate) addresses: Vec<TransportAddress>,
    pub(crate) path: Path,
    /// What carries everything but checks, once the client has chosen.
    pub(crate) transport: Option<Transport>,
    pub(crate) resend_types: u128,
    pub(crate) sections: Vec<Section>,
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) control: Control,
    /// What the client says it publishes; until it says so, what it sends.
    pub(crate) publishing: Option<Vec<Source>>,
    /// What the client wants to see; until it says so, everyone as they came.
    pub(crate) wishes: Option<Vec<VideoWish>>,
    pub(crate) estimate: Option<BitRate>,
    /// What the estimator was last told to find out about, and when.
    sought: Option<(BitRate, Instant)>,
    pub(crate) connected: bool,
    pub(crate) connect_by: Instant,
    /// When the state machine wants to be called.
    pub(crate) rtc_due: Instant,
    /// How exactly it has to be called then.
    pub(crate) grid: Duration,
    /// When it was last called.
    advanced: Instant,
    /// When a packet of media last came or went.
    pub(crate) last_media: Option<Instant>,
    pub(crate) deadline: Deadline,
    /// How far the client has been told what others publish.
    pub(crate) told: Option<Version>,
    /// Something was written that has to be driven out.
    pub(crate) is_dirty: bool,
    /// The choice of layers has to be made anew.
    pub(crate) layers_stale: bool,
    /// The client has not been told what fills its slots now.
    pub(crate) slots_untold: bool,
    streams: Vec<(Ssrc, TrackKey, usize)>,
    /// How many reports of losses were counted so far.
    pub(super) nacked: Vec<(NackedStream, u64)>,
    #[cfg(test)]
    pub(crate) panics_at: Option<Entry>,
}

/// The ways into a state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Receive,
    Advance,
    Poll,
    Close,
}

impl Peer {
    pub(crate) fn new(
        participant: ParticipantId,
        room: RoomKey,
        negotiated: Negotiated,
        sections: Vec<Section>,
        now: Instant,
    ) -> Self {
        Self {
            participant,
            room,
            rtc: negotiated.rtc,
            ufrag: negotiated.ufrag,
            addresses: vec![],
            path: Path::default(),
            transport: None,
            resend_types: negotiated.resend_types,
            sections,
            outlets: negotiated.slots.into_iter().map(Outlet::new).collect(),
            control: Control::default(),
            publishing: None,
            wishes: None,
            estimate: None,
            sought: None,
            connected: false,
            connect_by: now + CONNECT_TIME,
            rtc_due: now,
            grid: GRID,
            advanced: now,
            last_media: None,
            deadline: Deadline::default(),
            told: None,
            is_dirty: false,
            layers_stale: false,
            slots_untold: false,
            streams: vec![],
            nacked: vec![],
            #[cfg(test)]
            panics_at: None,
        }
    }

    /// Hands a datagram to the state machine. An error means that it did not accept this
    /// datagram; whether it lives on shows when it is polled.
    pub(crate) fn receive(&mut self, now: Instant, receive: Receive<'_>) -> Result<bool, Broken> {
        self.contained(Entry::Receive, |rtc| {
            rtc.handle_input(Input::Receive(now, receive))
        })
        .map(|r| r.is_ok())
    }

    pub(crate) fn advance(&mut self, now: Instant) -> Result<(), Broken> {
        self.advanced = now;
        self.contained(Entry::Advance, |rtc| rtc.handle_input(Input::Timeout(now)))?
            .map_err(|_| Broken)
    }

    pub(crate) fn poll(&mut self) -> Result<Output, Broken> {
        self.contained(Entry::Poll, Rtc::poll_output)?
            .map_err(|_| Broken)
    }

    /// Says goodbye (RTCP BYE, DTLS close_notify); the rest is polled.
    pub(crate) fn close(&mut self) -> Result<(), Broken> {
        self.contained(Entry::Close, Rtc::close)?
            .map_err(|_| Broken)
    }

    /// Keeps a panic inside one connection's state machine from taking the others along. The
    /// connection is not used afterwards.
    fn contained<R>(
        &mut self,
        #[cfg_attr(not(test), allow(unused_variables))] entry: Entry,
        f: impl FnOnce(&mut Rtc) -> R,
    ) -> Result<R, Broken> {
        let within = AssertUnwindSafe(|| {
            #[cfg(test)]
            assert_ne!(self.panics_at, Some(entry), "as the test wants it");
            f(&mut self.rtc)
        });
        catch_unwind(within).map_err(|_| Broken)
    }

    /// Takes note of when the state machine wants to be called.
    pub(crate) fn wait_until(&mut self, at: Instant, now: Instant) {
        let (least_sleep, grid) = self.patience(now);
        // Counted from when it was last called: counted from now, packets that keep coming
        // would put it off for ever.
        self.rtc_due = at.max(self.advanced + least_sleep);
        self.grid = grid;
    }

    /// How long what the state machine waits for has to wait at least, and on which grid of
    /// moments it is called. Otherwise each client would be called a hundred times a second,
    /// mostly for nothing.
    fn patience(&self, now: Instant) -> (Duration, Duration) {
        let is_quiet = self
            .last_media
            .is_none_or(|last| now.saturating_duration_since(last) > QUIET_AFTER);
        // Someone waits for a handshake.
        if !self.connected {
            return (Duration::ZERO, Duration::ZERO);
        }
        match self.rtc.last_timeout_reason() {
            Reason::Pacer(_)
            | Reason::BweDelayControl
            | Reason::BweProbeControl
            | Reason::BweProbeEstimator
                if is_quiet =>
            {
                (IDLE_STEP, IDLE_GRID)
            }
            // Probes measure the path by their times.
            Reason::Pacer(_) | Reason::BweProbeControl | Reason::BweProbeEstimator => {
                (Duration::ZERO, Duration::ZERO)
            }
            Reason::Nack | Reason::Twcc => (REPORT_STEP, GRID),
            _ => (Duration::ZERO, GRID),
        }
    }

    /// When anything about this peer has to be looked at.
    pub(crate) fn due(&self) -> Instant {
        if self.connected {
            self.rtc_due
        } else {
            self.rtc_due.min(self.connect_by)
        }
    }

    /// The track and layer that a packet belongs to.
    pub(crate) fn locate(&mut self, packet: &RtpPacket) -> Option<(TrackKey, usize)> {
        let ssrc = packet.header.ssrc;
        if let Some((_, track, layer)) = self.streams.iter().find(|(s, ..)| *s == ssrc) {
            return Some((*track, *layer));
        }
        let mut direct = self.rtc.direct_api();
        let stream = direct.stream_rx(&ssrc)?;
        let (mid, rid) = (stream.mid(), stream.rid());
        let section = self.sections.iter().find(|section| section.mid == mid)?;
        let layer = section.rids.iter().position(|own| *own == rid)?;
        let track = section.track;
        if self.streams.len() >= MOST_STREAMS {
            self.streams.clear();
        }
        self.streams.push((ssrc, track, layer));
        Some((track, layer))
    }

    /// Whether a track of the client's is to be shown to others.
    pub(crate) fn publishes(&self, source: Source, heard: bool) -> bool {
        self.connected
            && match &self.publishing {
                Some(sources) => sources.contains(&source),
                None => heard,
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
                    paused: filling.is_paused(),
                })
            })
            .collect()
    }

    /// Tells the client what it has not been told yet, as far as its channel takes it.
    pub(crate) fn speak(&mut self, rooms: &Slab<Room>) {
        if let Some(room) = rooms.get(self.room.0).filter(|_| self.control.is_open()) {
            let version = room.roll.version();
            if self.told != Some(version) {
                let news = room.roll.news(self.told, self.participant);
                let heard = news.is_none_or(|news| self.control.say(&mut self.rtc, &news));
                if heard {
                    self.told = Some(version);
                }
            }
        }
        self.control.flush(&mut self.rtc);
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
    ///
    /// `is_short` when the client gets less than it wants. The estimate hardly rises beyond
    /// what is sent, so a path that has recovered would not be noticed for a long time: the
    /// estimator is made to probe again and again, which it does whenever it is told to seek
    /// more than before: so the rate is lowered a little and raised again.
    pub(crate) fn seek(&mut self, now: Instant, rate: BitRate, is_short: bool) {
        // Who watches nothing has no use for the answer.
        let rate = if rate > BitRate(0) {
            rate.max(BitRate(FIRST_ESTIMATE.as_u64()))
        } else {
            rate
        };
        let sought = match self.sought {
            Some((old, at)) if old.0.abs_diff(rate.0) <= old.0 / 10 => {
                let waited = now.saturating_duration_since(at);
                if !is_short || waited < SEEK_AGAIN {
                    return;
                }
                BitRate(rate.0 - rate.0 / 8)
            }
            _ => rate,
        };
        self.sought = Some((sought, now));
        let wanted = Bitrate::bps(sought.0);
        self.rtc.bwe().set_bitrate(Bitrate::ZERO, wanted);
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
}
