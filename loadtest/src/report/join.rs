//! How long it took to get in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Known, Times};

/// How long it took to get in. Each phase is counted from opening the connection to the
/// server until it was through, as phases run beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Join {
    /// Times that a bot tried to join, over the whole run.
    pub asked: u64,
    /// Times that it got in.
    pub succeeded: u64,
    /// How many got in a second, from the first try to the last success.
    pub joins_per_second: Known<f64>,
    /// Until a bot had everything it needs: keys, media, control channel.
    pub total: Known<Times>,
    /// Until the server had let it into the room.
    pub signalling: Known<Times>,
    /// Until it was a member of the group and had keys (MLS).
    pub group: Known<Times>,
    /// Until a pair of addresses worked (ICE).
    pub ice: Known<Times>,
    /// Until media could flow (DTLS).
    pub dtls: Known<Times>,
    /// Until the control channel was open.
    pub control_channel: Known<Times>,
    /// Until the first sound was opened.
    pub first_audio: Known<Times>,
    /// Until the first picture was opened that can be decoded by itself.
    pub first_picture: Known<Times>,
}
