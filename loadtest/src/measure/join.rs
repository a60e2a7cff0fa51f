//! How long each step into the call took one bot.

use std::time::Duration;

/// From the beginning of connecting to each step; none for those not reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JoinTimes {
    /// The way to the server is open.
    pub connected: Option<Duration>,
    /// The server has let it into the room.
    pub admitted: Option<Duration>,
    /// It has the keys of the call.
    pub in_group: Option<Duration>,
    /// ICE of its first media connection is through.
    pub ice: Option<Duration>,
    /// DTLS of its first media connection is through.
    pub media: Option<Duration>,
    /// Its data channel is open.
    pub channel: Option<Duration>,
    /// It is in the call.
    pub in_call: Option<Duration>,
    /// It opened the first sound.
    pub first_sound: Option<Duration>,
    /// It opened the first picture that can be decoded by itself.
    pub first_picture: Option<Duration>,
}

impl JoinTimes {
    /// Notes a step, unless it has been reached before.
    pub fn reach(step: &mut Option<Duration>, after: Duration) {
        step.get_or_insert(after);
    }
}
