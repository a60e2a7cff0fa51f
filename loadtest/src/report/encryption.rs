//! Whether what was sealed could be opened, and what new keys cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Known, Times};
use crate::measure::tally::{SenderCount, Unopened};

/// Whether what was sealed could be opened, and what new keys cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Encryption {
    /// Frames that publishers sealed within the measured window.
    pub frames_sealed: u64,
    /// Frames that receivers opened within the measured window.
    pub frames_opened: u64,
    /// Frames that receivers opened over the whole run.
    pub frames_opened_total: u64,
    /// Frames that should have been opened and could not, over the whole run.
    pub failures: u64,
    /// All frames that were not opened, by reason; not all of them are failures.
    pub unopened: Unopened,
    /// Members of the group when the bots left, others than bots included.
    pub group_size: u64,
    /// From a commit until everyone was in its epoch.
    pub rekey: Known<Times>,
    /// The longest pause between two frames of a stream around a change of epoch.
    pub rekey_gap: Known<Times>,
    /// Members' refusals of commits that bots saw.
    pub commits_refused: u64,
    /// Times that someone without the link was turned away.
    pub strangers_refused: u64,
    /// Frames opened by sending member, over the whole run and all receivers.
    pub senders: Vec<SenderCount>,
}
