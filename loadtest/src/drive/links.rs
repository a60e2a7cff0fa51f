//! The links between a bot and its sockets.

use std::{net::SocketAddr, time::Instant};

use crate::{
    impair::{Impairment, Link, LinkCounts, Way, paths::Path, usage::Use, wire_len},
    target::LegId,
};

/// A datagram on its way between a bot and a socket.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    /// Which of the bot's sockets.
    pub(super) leg: LegId,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// The payload.
    pub(super) datagram: Vec<u8>,
}

/// Both directions of a bot's path; none where nothing is wrong.
#[derive(Debug)]
pub(super) struct Links {
    path: Path,
    up: Option<Link<Parcel>>,
    down: Option<Link<Parcel>>,
}

impl Links {
    pub(super) fn new(path: Path) -> Self {
        let link = |impairment: Impairment, way| {
            (impairment != Impairment::default()).then(|| Link::new(impairment, path.seed_of(way)))
        };
        Self {
            up: link(path.links.up, Way::Up),
            down: link(path.links.down, Way::Down),
            path,
        }
    }

    /// Tells the links when the measured window began, if it has.
    pub(super) fn begin_window(&mut self) {
        if let Some(window) = self.path.window.get() {
            for link in self.up.iter_mut().chain(&mut self.down) {
                link.begin_window(*window);
            }
        }
    }

    /// The first media came through.
    pub(super) fn media_begins(&mut self, now: Instant) {
        if let Some(link) = &mut self.down {
            link.media_begins(now);
        }
    }

    /// The measured window is over, or the bot leaves.
    pub(super) fn end_window(&mut self, now: Instant) {
        for link in self.up.iter_mut().chain(&mut self.down) {
            link.end_window(now);
        }
    }

    /// How a limit on the way down was used.
    pub(super) fn downlink_use(&self) -> Option<Use> {
        self.down.as_ref()?.limit_use().cloned()
    }

    /// True if there is a link in this direction.
    pub(super) fn has(&self, way: Way) -> bool {
        match way {
            Way::Up => self.up.is_some(),
            Way::Down => self.down.is_some(),
        }
    }

    /// A datagram sets out.
    pub(super) fn push(&mut self, now: Instant, way: Way, parcel: Parcel) {
        if let Some(link) = self.link(way) {
            let bytes = wire_len(parcel.peer, parcel.datagram.len());
            link.push(now, parcel, bytes);
        }
    }

    /// The next datagram that has arrived.
    pub(super) fn poll(&mut self, now: Instant, way: Way) -> Option<Parcel> {
        self.link(way)?.poll(now)
    }

    /// When the next datagram arrives, either way.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let both = [self.up.as_ref(), self.down.as_ref()];
        both.into_iter()
            .flatten()
            .filter_map(Link::poll_timeout)
            .min()
    }

    /// The bot's address is gone.
    pub(super) fn sever(&mut self) {
        self.up
            .iter_mut()
            .chain(&mut self.down)
            .for_each(Link::sever);
    }

    /// What was done to its packets in a direction; none if there is no link.
    pub(super) fn counts(&self, way: Way) -> Option<LinkCounts> {
        match way {
            Way::Up => self.up.as_ref().map(Link::counts),
            Way::Down => self.down.as_ref().map(Link::counts),
        }
    }

    fn link(&mut self, way: Way) -> Option<&mut Link<Parcel>> {
        match way {
            Way::Up => self.up.as_mut(),
            Way::Down => self.down.as_mut(),
        }
    }
}
