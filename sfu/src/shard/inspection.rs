//! One participant's media as an operator looks at it who searches for what is wrong.

use std::time::Instant;

use conclave_protocol::{Mid, ParticipantId, signal::Source};

use super::{
    Shard,
    peer::{NackedBy, Peer},
};
use crate::{BitRate, Transport, layer::LayerState};

/// What passes between the SFU and one participant at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What carries it; none until ICE and DTLS are through.
    pub transport: Option<Transport>,
    /// What the path to the participant is thought to carry; none until there was something to
    /// learn that from.
    pub estimate: Option<BitRate>,
    /// What the participant sends, in the order of the offer.
    pub sent: Vec<SentTrack>,
    /// What the participant is given: the slots that something fills.
    pub received: Vec<ReceivedTrack>,
}

/// A track that a participant sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentTrack {
    /// Which of theirs.
    pub source: Source,
    /// The others have been told that it is there.
    pub is_on: bool,
    /// Its sizes, low to high, whether they are streams of their own or spatial layers of one.
    pub sizes: Vec<SentSize>,
    /// How often the SFU has reported packets of it missing (RFC 4585 §6.2.1).
    pub nacks: u64,
}

/// One size of a track that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentSize {
    /// In pixels, where the sender tells.
    pub height: Option<u16>,
    /// What it took in the last second, with all its temporal layers; zero while it is asleep.
    pub bitrate: BitRate,
}

/// A track that a participant is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedTrack {
    /// The section of the offer that it comes on.
    pub mid: Mid,
    /// Whose it is.
    pub participant: ParticipantId,
    /// Which of theirs.
    pub source: Source,
    /// Nothing of it is sent: the path does not carry it, or nobody wants to see it.
    pub is_paused: bool,
    /// Which of its sizes is being sent, zero for the lowest; none before its first key frame.
    pub size: Option<u8>,
    /// How often the participant has reported packets of it missing.
    pub nacks: u64,
}

impl Shard {
    /// Looks at a participant's media. None if they are not here.
    pub fn inspect(&self, now: Instant, participant: ParticipantId) -> Option<Inspection> {
        let key = self.participants.get(&participant)?;
        let peer = self.peers.get(key.0)?;
        let sent = peer.sections.iter().filter_map(|section| {
            let track = self.tracks.get(section.track.0)?;
            let sizes = track.layer_states(now).iter().map(SentSize::from).collect();
            Some(SentTrack {
                source: section.source,
                is_on: track.is_on,
                sizes,
                nacks: peer.nacks(NackedBy::Us, section.mid),
            })
        });
        let received = peer.outlets.iter().filter_map(|outlet| {
            let filling = outlet.filling.as_ref()?;
            Some(ReceivedTrack {
                mid: outlet.mid.clone(),
                participant: filling.participant,
                source: filling.source,
                is_paused: filling.is_paused(),
                size: filling.size(),
                nacks: peer.nacks(NackedBy::Subscriber, outlet.sdp_mid),
            })
        });
        Some(Inspection {
            transport: peer.transport.filter(|_| peer.connected),
            estimate: peer.estimate,
            sent: sent.collect(),
            received: received.collect(),
        })
    }
}

impl Peer {
    /// How many reports of losses were counted for a section, all its layers together.
    fn nacks(&self, by: NackedBy, mid: str0m::media::Mid) -> u64 {
        let counted = self.nacked.iter();
        counted
            .filter(|((whose, section, _), _)| (*whose, *section) == (by, mid))
            .map(|(_, total)| total)
            .sum()
    }
}

impl From<&LayerState> for SentSize {
    fn from(state: &LayerState) -> Self {
        let highest = usize::from(state.temporal_layers.saturating_sub(1));
        Self {
            height: state.height,
            bitrate: state.rates.get(highest).copied().unwrap_or_default(),
        }
    }
}
