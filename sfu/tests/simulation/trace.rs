//! Everything that was sent, so that two runs can be compared.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    time::Duration,
};

/// One datagram, short enough to keep all of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Since the start of the run.
    pub(crate) at: Duration,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: usize,
    /// Of the contents.
    pub(crate) hash: u64,
}

/// All datagrams of a run, in the order in which they were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) sent: Vec<Sent>,
}

impl Trace {
    pub(crate) fn push(&mut self, at: Duration, from: SocketAddr, to: SocketAddr, contents: &[u8]) {
        let mut hasher = DefaultHasher::new();
        contents.hash(&mut hasher);
        self.sent.push(Sent {
            at,
            from,
            to,
            bytes: contents.len(),
            hash: hasher.finish(),
        });
    }

    /// One number for all of it.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for sent in &self.sent {
            (sent.at, sent.from, sent.to, sent.bytes, sent.hash).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The first datagrams in which two runs differ.
    pub(crate) fn divergence(&self, other: &Self) -> Option<(Option<Sent>, Option<Sent>)> {
        let length = self.sent.len().max(other.sent.len());
        (0..length)
            .map(|i| (self.sent.get(i).copied(), other.sent.get(i).copied()))
            .find(|(a, b)| a != b)
    }
}
