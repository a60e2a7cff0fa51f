//! What every connection needs.

use std::sync::Arc;

use prometheus::Registry as MetricsRegistry;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    files::Files,
    limits::{AddressLimiter, Limits},
    media::Media,
    metrics::Metrics,
    registry::Registry,
    store::Store,
};

/// The front door.
pub(crate) struct Door {
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<Metrics>,
    /// What `/metrics` shows: ours and the media side's.
    pub(crate) published: MetricsRegistry,
    pub(crate) addresses: AddressLimiter,
    pub(crate) wrong_keys: AddressLimiter,
    pub(crate) rooms: Arc<Registry>,
    pub(crate) media: Arc<Media>,
    pub(crate) store: Store,
    pub(crate) files: Arc<Files>,
    /// Cancelled when the server begins to shut down.
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// True when the server itself speaks https.
    pub(crate) is_secure: bool,
}

impl Door {
    /// From now on it takes no new calls.
    pub(crate) fn drain(&self) {
        self.metrics.draining.set(1);
        self.rooms.draining.cancel();
    }

    /// Why nobody should be sent here, if nobody should.
    pub(crate) fn not_ready(&self) -> Option<&'static str> {
        let is_draining = self.rooms.draining.is_cancelled();
        let drains = is_draining.then_some("the server takes no new calls: it is about to stop");
        self.not_serving().or(drains)
    }

    /// Why the server cannot carry calls, if it cannot.
    pub(crate) fn not_serving(&self) -> Option<&'static str> {
        if self.stopping.is_cancelled() {
            Some("the server is shutting down")
        } else if !self.media.is_alive() {
            Some("the media thread has ended: restart the server")
        } else {
            None
        }
    }
}
