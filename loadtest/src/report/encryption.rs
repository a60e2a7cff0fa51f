//! Whether what was sealed could be opened, and what new keys cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Known, Times};
use crate::measure::tally::{SenderCount, Unopened};

/// Whether what was sealed could be opened, and what new keys cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Encryption {
    /// Frames that publishers sealed, of those due within the measured window.
    pub frames_sealed: u64,
    /// Those of them that receivers opened, each as often as it was opened.
    pub frames_opened: u64,
    /// Frames that receivers opened over the whole run.
    pub frames_opened_total: u64,
    /// Frames that should have been opened and could not, over the whole run.
    pub failures: u64,
    /// All frames that were not opened, by reason; not all of them are failures.
    pub unopened: Unopened,
    /// Members of the group when the bots left, others than bots included.
    pub group_size: u64,
    /// From the first to the last bot that had the keys of an epoch, over the whole run.
    pub rekey: Known<Times>,
    /// The same, by the number of bots that changed keys together.
    pub rekey_by_group_size: Vec<RekeysBySize>,
    /// The pause between the last frame of a stream under old keys and the first under new
    /// ones at a receiver, less the usual time between two; over the whole run.
    pub rekey_gap: Known<Times>,
    /// Members' refusals of commits that bots saw.
    pub commits_refused: u64,
    /// Times that someone without the link was turned away.
    pub strangers_refused: u64,
    /// Frames opened by sending member, over the whole run and all receivers.
    pub senders: Vec<SenderCount>,
}

/// How long changes of keys took in groups of some size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RekeysBySize {
    /// More than half of this and at most this many bots changed keys together.
    pub members_up_to: u64,
    /// How long it took.
    #[serde(flatten)]
    pub times: Times,
}
