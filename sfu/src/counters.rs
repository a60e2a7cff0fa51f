//! What the shard counts on the packet path: plain numbers, taken over by the metrics once
//! a turn.

use crate::{srtp_profile::SrtpProfile, transport::Transport};

/// Why something that came in, or should have gone out, was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// Neither STUN nor DTLS nor RTP (RFC 7983), or a STUN message that cannot be read.
    Malformed,
    /// Longer than any datagram that a client has reason to send.
    TooLong,
    /// From an address that no participant has proven to be theirs.
    UnknownSource,
    /// A STUN message for no known participant.
    UnknownUser,
    /// The participant's connection did not accept it.
    Refused,
    /// RTP that led to no packet: forged, repeated, or of an unknown stream.
    Unusable,
    /// RTP in a section that was not offered as a track.
    NotOffered,
    /// A subscriber's client does not know the track's codec.
    UnknownCodec,
    /// Older than the key frame at which a slot switched to its layer.
    BeforeSwitch,
    /// A control message that was not understood or asked for too much.
    BadRequest,
    /// The system would not take it, or the TCP connection is gone.
    NotSent,
    /// On the way to another media thread, which does not keep up.
    BusyWorker,
    /// The client does not read from its TCP connection as fast as it is sent to.
    SlowReader,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::TooLong,
        Self::UnknownSource,
        Self::UnknownUser,
        Self::Refused,
        Self::Unusable,
        Self::NotOffered,
        Self::UnknownCodec,
        Self::BeforeSwitch,
        Self::BadRequest,
        Self::NotSent,
        Self::BusyWorker,
        Self::SlowReader,
    ];

    /// The name as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::UnknownSource => "unknown_source",
            Self::UnknownUser => "unknown_user",
            Self::Refused => "refused",
            Self::Unusable => "unusable",
            Self::NotOffered => "not_offered",
            Self::UnknownCodec => "unknown_codec",
            Self::BeforeSwitch => "before_switch",
            Self::BadRequest => "bad_request",
            Self::NotSent => "not_sent",
            Self::BusyWorker => "busy_worker",
            Self::SlowReader => "slow_reader",
        }
    }
}

/// Packets and their payload bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many packets.
    pub packets: u64,
    /// How many bytes of payload.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// Audio and video apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByKind {
    /// What is heard.
    pub audio: Traffic,
    /// What is seen.
    pub video: Traffic,
}

impl ByKind {
    pub(crate) fn of(&mut self, is_video: bool) -> &mut Traffic {
        if is_video {
            &mut self.video
        } else {
            &mut self.audio
        }
    }
}

/// Everything counted since the last time it was taken.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// RTP packets that came in and belong to a track; no repetitions, no padding.
    pub received: ByKind,
    /// RTP packets handed on to a subscriber, each counted once; no retransmissions.
    pub forwarded: ByKind,
    /// Key frames that subscribers asked for.
    pub key_frames_asked: u64,
    /// Key-frame requests sent to publishers.
    pub key_frames_requested: u64,
    /// Wishes for a key frame that shared a request with another.
    pub key_frames_suppressed: u64,
    /// Newcomers who got a key frame that had been kept.
    pub key_frames_kept: u64,
    /// Clients that went on from another address.
    pub path_changes: u64,
    /// Slots that went over to a higher layer.
    pub layer_upgrades: u64,
    /// Slots that went over to a lower layer.
    pub layer_downgrades: u64,
    /// Losses that subscribers reported (NACK), as of the last look every few seconds.
    pub nacks_in: u64,
    /// Losses that were reported to publishers (NACK), likewise.
    pub nacks_out: u64,
    /// Retransmitted packets that came in (RFC 4588), probing with them included.
    pub resends_in: u64,
    /// Retransmitted packets that went out, probing with them included.
    pub resends_out: u64,
    /// Connections that never came about, and of which no check arrived.
    pub never_checked: u64,
    connected: [u64; Transport::ALL.len()],
    timed_out: [u64; Transport::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
    profiles: [u64; SrtpProfile::ALL.len()],
}

impl Counters {
    pub(crate) fn drop_one(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    pub(crate) fn drop_many(&mut self, reason: DropReason, count: usize) {
        self.dropped[reason as usize] += count as u64;
    }

    /// A connection came about over this transport.
    pub(crate) fn connect(&mut self, transport: Transport) {
        self.connected[transport as usize] += 1;
    }

    /// A connection did not come about, although checks arrived over this transport.
    pub(crate) fn time_out(&mut self, checked: Option<Transport>) {
        match checked {
            Some(transport) => self.timed_out[transport as usize] += 1,
            None => self.never_checked += 1,
        }
    }

    pub(crate) fn handshake(&mut self, profile: SrtpProfile) {
        self.profiles[profile as usize] += 1;
    }

    /// How many connections came about over a transport.
    pub fn connected(&self, transport: Transport) -> u64 {
        self.connected[transport as usize]
    }

    /// How many did not, although checks arrived over the transport.
    pub fn timed_out(&self, transport: Transport) -> u64 {
        self.timed_out[transport as usize]
    }

    /// How many were dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many handshakes chose a profile.
    pub fn handshakes(&self, profile: SrtpProfile) -> u64 {
        self.profiles[profile as usize]
    }
}

/// How many there are of what comes and goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Population {
    /// Rooms with at least one connection.
    pub rooms: u64,
    /// Connections, established or not.
    pub participants: u64,
    /// Audio tracks that are on.
    pub audio_tracks: u64,
    /// Video tracks that are on.
    pub video_tracks: u64,
    /// Filled audio slots.
    pub audio_slots: u64,
    /// Filled video slots.
    pub video_slots: u64,
}

impl Population {
    pub(crate) fn track_turned(&mut self, is_video: bool, on: bool) {
        let tracks = if is_video {
            &mut self.video_tracks
        } else {
            &mut self.audio_tracks
        };
        *tracks = if on { *tracks + 1 } else { *tracks - 1 };
    }

    fn slots(&mut self, is_video: bool) -> &mut u64 {
        if is_video {
            &mut self.video_slots
        } else {
            &mut self.audio_slots
        }
    }

    pub(crate) fn slot_filled(&mut self, is_video: bool) {
        *self.slots(is_video) += 1;
    }

    pub(crate) fn slot_emptied(&mut self, is_video: bool) {
        *self.slots(is_video) -= 1;
    }
}
