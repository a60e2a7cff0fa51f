//! All rooms of a server without sockets, for tests.

use std::{num::NonZeroU8, path::Path};

use conclave_sfu::{Sfu, SfuConfig};

use super::*;

/// On what is kept in a folder, or for as long as it lives; with what it counts.
pub(crate) fn open(folder: Option<&Path>, limits: Limits) -> (Arc<Registry>, prometheus::Registry) {
    let published = prometheus::Registry::new();
    let metrics = Arc::new(Metrics::register(&published).unwrap());
    let (store, kept) = Store::open(folder, Arc::clone(&metrics)).unwrap();
    let config = SfuConfig {
        listen: Some([127, 0, 0, 1].into()),
        media_port: 0,
        public_addresses: Vec::new(),
        media_threads: NonZeroU8::new(1),
    };
    let (sfu, _) = Sfu::start(&config, &published).unwrap();
    let media = Arc::new(Media::new(sfu, Arc::clone(&metrics)));
    let (limits, stopping, tasks) = (
        Arc::new(limits),
        CancellationToken::new(),
        TaskTracker::new(),
    );
    let rooms = Registry::new(limits, metrics, media, store, stopping, tasks);
    let rooms = Arc::new(rooms);
    rooms.recall(kept);
    (rooms, published)
}
