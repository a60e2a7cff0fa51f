//! What every connection needs.

use std::sync::Arc;

use prometheus::Registry as MetricsRegistry;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    limits::{AddressLimiter, Limits},
    media::Media,
    metrics::Metrics,
    registry::Registry,
};

/// The front door.
pub(crate) struct Door {
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    /// What `/metrics` shows: ours and the media side's.
    pub(crate) published: MetricsRegistry,
    pub(crate) addresses: AddressLimiter,
    pub(crate) rooms: Arc<Registry>,
    pub(crate) media: Arc<Media>,
    /// Cancelled when the server begins to shut down.
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// True when the server itself speaks https.
    pub(crate) is_secure: bool,
}

impl Door {
    /// Why the server cannot take calls, if it cannot.
    pub(crate) fn not_ready(&self) -> Option<&'static str> {
        if self.stopping.is_cancelled() {
            Some("the server is shutting down")
        } else if !self.media.is_alive() {
            Some("the media thread has ended: restart the server")
        } else {
            None
        }
    }
}
