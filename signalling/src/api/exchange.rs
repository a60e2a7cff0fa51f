//! What passes between the SFU and one participant, as an answer.

use conclave_protocol::{ParticipantId, signal::Source};
use conclave_sfu::{BitRate, Inspection, ReceivedTrack, SentSize, SentTrack};
use serde::Serialize;
use utoipa::ToSchema;

/// What passes between the server and somebody at this moment. The server forwards it and
/// cannot open it.
#[derive(Serialize, ToSchema)]
pub(super) struct ExchangeView {
    /// `udp` or `tcp`; null until a connection stands.
    #[schema(value_type = Option<String>)]
    transport: Option<&'static str>,
    /// What the way to them is thought to carry, in bits per second; null before there was
    /// anything to learn it from.
    estimate: Option<u64>,
    sends: Vec<SentView>,
    receives: Vec<ReceivedView>,
}

/// A track that they send.
#[derive(Serialize, ToSchema)]
struct SentView {
    #[schema(value_type = String, example = "camera")]
    source: Source,
    /// The others were told of it.
    on: bool,
    /// From the lowest to the highest.
    sizes: Vec<SizeView>,
    /// How often packets of it were reported missing to them.
    nacks: u64,
}

/// One size of a track.
#[derive(Serialize, ToSchema)]
struct SizeView {
    /// In pixels, where the sender tells.
    height: Option<u16>,
    /// Bits per second in the last second; zero while it is not sent.
    bitrate: u64,
}

/// A track that they are given.
#[derive(Serialize, ToSchema)]
struct ReceivedView {
    /// The media section that it comes on.
    mid: String,
    #[schema(value_type = String, pattern = "^[0-9a-f]{16}$")]
    participant: ParticipantId,
    #[schema(value_type = String, example = "camera")]
    source: Source,
    /// It is not sent: the way does not carry it, or they do not show it.
    paused: bool,
    /// Which of the sizes of the track they are given, from zero on; null before its first key
    /// frame.
    size: Option<u8>,
    /// How often they reported packets of it missing.
    nacks: u64,
}

impl From<Inspection> for ExchangeView {
    fn from(seen: Inspection) -> Self {
        Self {
            transport: seen.transport.map(conclave_sfu::Transport::label),
            estimate: seen.estimate.map(BitRate::get),
            sends: seen.sent.into_iter().map(SentView::from).collect(),
            receives: seen.received.into_iter().map(ReceivedView::from).collect(),
        }
    }
}

impl From<SentTrack> for SentView {
    fn from(track: SentTrack) -> Self {
        Self {
            source: track.source,
            on: track.is_on,
            sizes: track.sizes.into_iter().map(SizeView::from).collect(),
            nacks: track.nacks,
        }
    }
}

impl From<SentSize> for SizeView {
    fn from(size: SentSize) -> Self {
        Self {
            height: size.height,
            bitrate: size.bitrate.get(),
        }
    }
}

impl From<ReceivedTrack> for ReceivedView {
    fn from(track: ReceivedTrack) -> Self {
        Self {
            mid: track.mid.as_str().to_owned(),
            participant: track.participant,
            source: track.source,
            paused: track.is_paused,
            size: track.size,
            nacks: track.nacks,
        }
    }
}
