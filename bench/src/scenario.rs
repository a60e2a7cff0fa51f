//! What is measured over sockets, and what server and clients say to each other about it.

use std::time::Duration;

use conclave_protocol::signal::{OfferedSlot, OfferedTrack};
use serde::{Deserialize, Serialize};

/// How much the publishers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Load {
    /// Nothing at all.
    Idle,
    /// As cameras do in calls: 30 frames and 50 packets of sound a second.
    Paced,
    /// 500 frames of six packets a second and no sound, reached step by step in the warm-up.
    Heavy,
}

/// One call over loopback.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Scenario {
    pub(crate) people: usize,
    /// The first so many publish.
    pub(crate) publishers: usize,
    pub(crate) simulcast: bool,
    /// Slots for cameras that each client offers.
    pub(crate) cameras: usize,
    /// The height at which everyone wishes for as many cameras as it has slots.
    pub(crate) wished_height: Option<u16>,
    pub(crate) load: Load,
    /// Clients receive with UDP_GRO.
    pub(crate) gro: bool,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    pub(crate) repetitions: usize,
}

/// What the clients tell the server, one JSON value a line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    Offer {
        index: usize,
        sdp: String,
        tracks: Vec<OfferedTrack>,
        slots: Vec<OfferedSlot>,
    },
    /// A window begins.
    Begin,
    /// It is over, and so many RTP packets came in it.
    End { received: u64 },
}
