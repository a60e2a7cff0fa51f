//! One direction of one path, in process. Sans-IO: it takes datagrams and the time, and
//! gives back those that arrive, when they do. What it does to which packet comes from a
//! seed, so a run can be had again.
//!
//! The order of things is that of a real path. A packet is lost or doubled on the first
//! stretch, waits before the bottleneck, and then travels. Without jitter and reordering
//! packets arrive in the order in which they were sent.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{Impairment, Usage, usage::Use};

/// The length of a UDP datagram on the wire with the headers of IP and UDP, in bytes.
pub fn wire_len(peer: SocketAddr, payload: usize) -> usize {
    let ip = if peer.is_ipv4() { 20 } else { 40 };
    ip + 8 + payload
}

/// What a link did. At any time `offered + duplicated` is the sum of what was delivered,
/// lost, dropped, and is still under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Datagrams given to it.
    pub offered: u64,
    /// Datagrams that arrived, second copies among them.
    pub delivered: u64,
    /// Lost by chance, or with the address that they were on the way to.
    pub lost: u64,
    /// Lost since nothing passed.
    pub blacked_out: u64,
    /// Dropped since the queue before the bottleneck was full.
    pub queue_dropped: u64,
    /// Copies added.
    pub duplicated: u64,
    /// Delivered after one that set out later.
    pub reordered: u64,
    /// Time that all delivered datagrams were under way together.
    pub time_under_way: Duration,
}

impl LinkCounts {
    /// What was done since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            offered: self.offered - earlier.offered,
            delivered: self.delivered - earlier.delivered,
            lost: self.lost - earlier.lost,
            blacked_out: self.blacked_out - earlier.blacked_out,
            queue_dropped: self.queue_dropped - earlier.queue_dropped,
            duplicated: self.duplicated - earlier.duplicated,
            reordered: self.reordered - earlier.reordered,
            time_under_way: self.time_under_way - earlier.time_under_way,
        }
    }

    /// Adds what another link did.
    pub fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.blacked_out += other.blacked_out;
        self.queue_dropped += other.queue_dropped;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.time_under_way += other.time_under_way;
    }
}

/// Something under way, ordered by when it arrives, and then by when it set out.
#[derive(Debug)]
struct UnderWay<T> {
    arrives: Instant,
    number: u64,
    set_out: Instant,
    datagram: T,
}

impl<T> UnderWay<T> {
    fn key(&self) -> (Instant, u64) {
        (self.arrives, self.number)
    }
}

impl<T> PartialEq for UnderWay<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for UnderWay<T> {}

impl<T> PartialOrd for UnderWay<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for UnderWay<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Decides which packets are lost.
#[derive(Debug)]
enum LossModel {
    Never,
    /// Each packet has its own fate.
    Alone(f64),
    /// The Gilbert model: in the bad state everything is lost, in the good one nothing.
    Bursts {
        bad: bool,
        /// How likely a packet finds the path bad after a good one.
        worsens: f64,
        /// … and good after a bad one.
        recovers: f64,
    },
}

impl LossModel {
    fn new(impairment: &Impairment, chance: &mut Rng) -> Self {
        let Some(loss) = impairment.loss else {
            return Self::Never;
        };
        let share = loss.share.ratio();
        match loss.turns() {
            None => Self::Alone(share),
            Some((worsens, recovers)) => Self::Bursts {
                bad: chance.f64() < share,
                worsens,
                recovers,
            },
        }
    }

    fn loses(&mut self, chance: &mut Rng) -> bool {
        match self {
            Self::Never => false,
            Self::Alone(share) => chance.f64() < *share,
            Self::Bursts {
                bad,
                worsens,
                recovers,
            } => {
                let lost = *bad;
                let turn = if *bad { *recovers } else { *worsens };
                if chance.f64() < turn {
                    *bad = !*bad;
                }
                lost
            }
        }
    }
}

/// Chance, to each effect its own: which packets one of them hits does not depend on what
/// else is asked for.
#[derive(Debug)]
struct Chances {
    loss: Rng,
    duplicate: Rng,
    jitter: Rng,
    reorder: Rng,
}

impl Chances {
    fn from_seed(seed: u64) -> Self {
        let mut root = Rng::with_seed(seed);
        Self {
            loss: root.fork(),
            duplicate: root.fork(),
            jitter: root.fork(),
            reorder: root.fork(),
        }
    }
}

/// One direction of one path. What a datagram is, and where it goes, is the caller's: the
/// link only needs to know how long it is.
#[derive(Debug)]
pub struct Link<T> {
    impairment: Impairment,
    chances: Chances,
    loss: LossModel,
    window: Option<Instant>,
    /// Of the bottleneck, if there is one.
    usage: Option<Usage>,
    /// When the bottleneck has sent on all that waits before it.
    bottleneck_free: Option<Instant>,
    under_way: BinaryHeap<Reverse<UnderWay<T>>>,
    number: u64,
    last_delivered: u64,
    counts: LinkCounts,
}

impl<T: Clone> Link<T> {
    /// A link that does what is asked for, to packets that a seed chooses.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        let mut chances = Chances::from_seed(seed);
        Self {
            impairment,
            loss: LossModel::new(&impairment, &mut chances.loss),
            chances,
            window: None,
            usage: impairment.bottleneck.map(Usage::new),
            bottleneck_free: None,
            under_way: BinaryHeap::new(),
            number: 0,
            last_delivered: 0,
            counts: LinkCounts::default(),
        }
    }

    /// The measured window begins: blackouts and steps of the rate count from here.
    pub fn begin_window(&mut self, now: Instant) {
        self.window = Some(now);
        if let Some(usage) = &mut self.usage {
            usage.begin_window(now);
        }
    }

    /// The first media came through: what the limit allows can be used from now on.
    pub fn media_begins(&mut self, now: Instant) {
        if let Some(usage) = &mut self.usage {
            usage.media_begins(now);
        }
    }

    /// The measured window is over, or the bot leaves.
    pub fn end_window(&mut self, now: Instant) {
        if let Some(usage) = &mut self.usage {
            usage.end(now);
        }
    }

    /// How the limit was used; none where there was none.
    pub fn limit_use(&self) -> Option<&Use> {
        self.usage.as_ref().map(Usage::total)
    }

    /// Takes a datagram that sets out, of a length on the wire ([`wire_len`]).
    pub fn push(&mut self, now: Instant, datagram: T, bytes: usize) {
        self.counts.offered += 1;
        if self.is_black(now) {
            self.counts.blacked_out += 1;
            return;
        }
        if self.loss.loses(&mut self.chances.loss) {
            self.counts.lost += 1;
            return;
        }
        if self.chances.duplicate.f64() < self.impairment.duplicate.ratio() {
            self.counts.duplicated += 1;
            self.send(now, datagram.clone(), bytes);
        }
        self.send(now, datagram, bytes);
    }

    /// The next datagram that has arrived by now.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        if self.poll_timeout()? > now {
            return None;
        }
        let Reverse(arrived) = self.under_way.pop()?;
        self.counts.delivered += 1;
        self.counts.reordered += u64::from(arrived.number < self.last_delivered);
        self.last_delivered = self.last_delivered.max(arrived.number);
        self.counts.time_under_way += arrived.arrives - arrived.set_out;
        Some(arrived.datagram)
    }

    /// When the next datagram arrives; none while nothing is under way.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(next)| next.arrives)
    }

    /// The address at its end is gone, and with it what is under way there. Counts as
    /// lost.
    pub fn sever(&mut self) {
        self.counts.lost += self.under_way.len() as u64;
        self.under_way.clear();
    }

    /// What it did so far.
    pub fn counts(&self) -> LinkCounts {
        self.counts
    }

    fn is_black(&self, now: Instant) -> bool {
        let (Some(blackout), Some(window)) = (self.impairment.blackout, self.window) else {
            return false;
        };
        now.checked_duration_since(window)
            .is_some_and(|elapsed| blackout.covers(elapsed))
    }

    fn send(&mut self, now: Instant, datagram: T, bytes: usize) {
        let Some(departs) = self.squeeze(now, bytes) else {
            self.counts.queue_dropped += 1;
            return;
        };
        let arrives = departs + self.time_to_travel();
        self.number += 1;
        self.under_way.push(Reverse(UnderWay {
            arrives,
            number: self.number,
            set_out: now,
            datagram,
        }));
    }

    /// When a packet has passed the bottleneck; none when the queue has no room for it.
    fn squeeze(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let (Some(bottleneck), Some(usage)) = (self.impairment.bottleneck, &mut self.usage) else {
            return Some(now);
        };
        let begins = self.bottleneck_free.map_or(now, |free| free.max(now));
        let waited = begins - now;
        if waited > bottleneck.queue {
            return None;
        }
        let passed = begins + usage.rate(now).time_for(bytes);
        usage.pass(now, waited, passed, bytes);
        self.bottleneck_free = Some(passed);
        Some(passed)
    }

    fn time_to_travel(&mut self) -> Duration {
        let mut time = match self.impairment.delay {
            None => Duration::ZERO,
            Some(delay) if delay.jitter.is_zero() => delay.mean,
            Some(delay) => {
                let least = delay.mean.saturating_sub(delay.jitter);
                least + (delay.jitter * 2).mul_f64(self.chances.jitter.f64())
            }
        };
        if let Some(reorder) = self.impairment.reorder
            && self.chances.reorder.f64() < reorder.share.ratio()
        {
            time += reorder.behind;
        }
        time
    }
}

#[cfg(test)]
mod tests;
