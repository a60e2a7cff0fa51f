//! What is counted about files. Labels are bounded: no file, room or participant.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The metrics of the file store.
pub(super) struct Figures {
    /// Bytes of all chunks that are stored.
    pub(super) stored: IntGauge,
    /// Bytes that were sent out.
    pub(super) served: IntCounter,
    chunks: IntCounterVec,
    refused: IntCounterVec,
}

impl Figures {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let figures = Self {
            stored: IntGauge::new(
                "conclave_files_stored_bytes",
                "Bytes of sealed files that are stored.",
            )?,
            served: IntCounter::new(
                "conclave_files_served_bytes_total",
                "Bytes of sealed files that were sent to participants.",
            )?,
            chunks: IntCounterVec::new(
                Opts::new(
                    "conclave_files_chunks_total",
                    "Chunks of sealed files that came in, by outcome.",
                ),
                &["outcome"],
            )?,
            refused: IntCounterVec::new(
                Opts::new(
                    "conclave_files_refused_total",
                    "Requests about files that were refused, by reason.",
                ),
                &["reason"],
            )?,
        };
        registry.register(Box::new(figures.stored.clone()))?;
        registry.register(Box::new(figures.served.clone()))?;
        registry.register(Box::new(figures.chunks.clone()))?;
        registry.register(Box::new(figures.refused.clone()))?;
        Ok(figures)
    }

    pub(super) fn took_chunk(&self, outcome: &'static str) {
        self.chunks.with_label_values(&[outcome]).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
