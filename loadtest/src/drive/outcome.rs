//! What a bot was in the end.

use std::{
    io,
    time::{Duration, Instant},
};

use conclave_protocol::control::PixelSize;
use tokio_tungstenite::tungstenite;

use super::{Live, http::HttpError};
use crate::{
    bot::BotFailure,
    impair::{LinkCounts, usage::Use},
    measure::{join::JoinTimes, tally::Tally, window::Window, wire::WireSummary},
};

/// Why a bot did not stay.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The server cannot be reached.
    #[error("the server cannot be reached: {0}")]
    Connect(io::Error),
    /// The WebSocket failed.
    #[error("the WebSocket failed: {0}")]
    WebSocket(Box<tungstenite::Error>),
    /// A request failed.
    #[error("a request failed: {0}")]
    Http(#[from] HttpError),
    /// The server hung up.
    #[error("the server closed the connection")]
    Closed,
    /// A UDP socket failed.
    #[error("the UDP socket failed: {0}")]
    Socket(io::Error),
    /// The bot itself is out of the call.
    #[error(transparent)]
    Bot(#[from] BotFailure),
    /// The run ended first.
    #[error("the run was ended before it was in the call")]
    Stopped,
    /// Joining took too long.
    #[error("it was not in the call after {} s", .0.as_secs())]
    TooSlow(Duration),
    /// The server did not answer when the bot left.
    #[error("the server did not answer within {} s that it leaves", .0.as_secs())]
    NoFarewell(Duration),
}

impl From<tungstenite::Error> for DriveError {
    fn from(error: tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

/// What a bot was in the end.
#[derive(Debug)]
pub struct Outcome {
    /// Its numbers.
    pub tally: Tally,
    /// How it came into the call.
    pub join: JoinTimes,
    /// When it was in the call.
    pub in_call_at: Option<Instant>,
    /// When it left.
    pub left_at: Option<Instant>,
    /// Members of the group when it left.
    pub members: usize,
    /// Commits refused.
    pub commits_refused: u64,
    /// Strangers turned away.
    pub strangers_refused: u64,
    /// Datagrams that the kernel did not take.
    pub datagrams_not_sent: u64,
    /// What came over the wire, over the whole run.
    pub wire: WireSummary,
    /// What was done to its packets on the way up, over the whole run; none if nothing.
    pub uplink: Option<LinkCounts>,
    /// … and on the way down.
    pub downlink: Option<LinkCounts>,
    /// How a limit on the way down was used; none where there was none.
    pub downlink_use: Option<Use>,
    /// Times that its address changed.
    pub roams: u64,
    /// From a change of its address to the next RTP packet that came.
    pub roam_gaps: Vec<Duration>,
    /// Whether none came any more after the last one.
    pub roamed_into_silence: bool,
    /// Why it did not stay until the end.
    pub failure: Option<DriveError>,
}

impl Outcome {
    /// Of a bot that sets out now, and wants pictures as large as this.
    pub(super) fn new(live: &Live, now: Instant, size: PixelSize) -> Self {
        Self {
            tally: Tally::new(live.measurement.clone(), now, size),
            join: JoinTimes::default(),
            in_call_at: None,
            left_at: None,
            members: 0,
            commits_refused: 0,
            strangers_refused: 0,
            datagrams_not_sent: 0,
            wire: WireSummary::default(),
            uplink: None,
            downlink: None,
            downlink_use: None,
            roams: 0,
            roam_gaps: Vec::new(),
            roamed_into_silence: false,
            failure: None,
        }
    }

    /// Whoever is in the call leaves it now.
    pub(super) fn leaves(&mut self, now: Instant) {
        if self.left_at.is_none() {
            self.left_at = Some(now);
            self.tally.leaves(now);
        }
    }

    /// For how long of the measured window it was in the call.
    pub fn time_in(&self, window: &Window) -> Duration {
        let stay = self.in_call_at.zip(self.left_at);
        stay.map_or(Duration::ZERO, |(from, to)| window.overlap(from, to))
    }
}
