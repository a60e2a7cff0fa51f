//! Datagrams for one destination in one system call (UDP generic segmentation offload).

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// What one call takes at most: an IP packet's worth.
const MOST_BYTES: usize = 65_000;

/// Where a batch goes and from which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: SocketAddr,
    pub(crate) source: Option<IpAddr>,
}

/// Gathers consecutive datagrams on one route. All but the last of a batch have one length.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    bytes: Vec<u8>,
    segment: usize,
    count: usize,
    route: Option<Route>,
    closed: bool,
}

/// A batch ready to be sent.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    pub(crate) route: Route,
    pub(crate) bytes: &'a [u8],
    pub(crate) segment: usize,
    pub(crate) count: usize,
}

impl Egress {
    /// True when the datagram can go into the batch that is being gathered.
    pub(crate) fn fits(&self, route: Route, length: usize, most_segments: usize) -> bool {
        self.route.is_none()
            || (self.route == Some(route)
                && !self.closed
                && length <= self.segment
                && self.count < most_segments
                && self.bytes.len() + length <= MOST_BYTES)
    }

    pub(crate) fn push(&mut self, route: Route, datagram: &[u8]) {
        if self.route.is_none() {
            self.route = Some(route);
            self.segment = datagram.len();
        }
        self.closed = datagram.len() < self.segment;
        self.bytes.extend_from_slice(datagram);
        self.count += 1;
    }

    /// Sends what was gathered, if anything.
    pub(crate) fn flush(
        &mut self,
        send: impl FnOnce(&Batch<'_>) -> io::Result<()>,
    ) -> Option<(usize, io::Result<()>)> {
        let route = self.route.take()?;
        let count = std::mem::take(&mut self.count);
        let result = send(&Batch {
            route,
            bytes: &self.bytes,
            segment: self.segment,
            count,
        });
        self.bytes.clear();
        self.closed = false;
        Some((count, result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What leaves for datagrams of these lengths to these ports: (port, segment, count).
    fn batches(datagrams: &[(u16, usize)], most_segments: usize) -> Vec<(u16, usize, usize)> {
        let mut egress = Egress::default();
        let mut sent = vec![];
        let mut flush = |egress: &mut Egress| {
            egress.flush(|batch| {
                let port = batch.route.destination.port();
                assert!(batch.bytes.len() <= batch.segment * batch.count);
                assert!(batch.bytes.len() > batch.segment * (batch.count - 1));
                sent.push((port, batch.segment, batch.count));
                Ok(())
            });
        };
        for &(port, length) in datagrams {
            let route = Route {
                destination: SocketAddr::from(([127, 0, 0, 1], port)),
                source: None,
            };
            if !egress.fits(route, length, most_segments) {
                flush(&mut egress);
            }
            egress.push(route, &vec![7; length]);
        }
        flush(&mut egress);
        flush(&mut egress);
        sent
    }

    #[test]
    fn equal_lengths_share_a_call_and_a_shorter_one_ends_it() {
        let sent = batches(&[(1, 1100), (1, 1100), (1, 300), (1, 1100)], 64);
        assert_eq!(sent, [(1, 1100, 3), (1, 1100, 1)]);
    }

    #[test]
    fn a_longer_one_begins_another_call() {
        assert_eq!(batches(&[(1, 90), (1, 91)], 64), [(1, 90, 1), (1, 91, 1)]);
    }

    #[test]
    fn another_destination_begins_another_call() {
        let sent = batches(&[(1, 90), (2, 90), (2, 90)], 64);
        assert_eq!(sent, [(1, 90, 1), (2, 90, 2)]);
    }

    #[test]
    fn a_call_is_bounded_in_segments_and_bytes() {
        assert_eq!(
            batches(&[(1, 90); 5], 2),
            [(1, 90, 2), (1, 90, 2), (1, 90, 1)]
        );
        let sent = batches(&[(1, 1_400); 60], 64);
        assert_eq!(sent, [(1, 1_400, 46), (1, 1_400, 14)]);
    }
}
