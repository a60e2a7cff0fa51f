//! What was done to the bots' paths on purpose, and what it looked like on the wire.

use super::Findings;
use crate::{
    drive::Outcome,
    impair::{self, Impairment, LinkPair},
    measure::{
        tally::LostPackets,
        wire::{WireCounts, WireSummary},
    },
    report::{Direction, Faults, Injected, Known, LinkCounts, Packets, Times},
    scenario::group::Group,
};

/// What came of one kind, and what was missing for good.
pub(super) fn packets(wire: &WireCounts, lost_after_repair: u64) -> Packets {
    Packets {
        received: wire.received,
        lost_on_wire: Known::Yes(wire.lost()),
        lost_after_repair,
        duplicates: Known::Yes(wire.duplicates),
        reordered: Known::Yes(wire.reordered),
        loss_ratio: Known::of(
            (wire.expected > 0).then(|| lost_after_repair as f64 / wire.expected as f64),
            "no packet was expected",
        ),
    }
}

impl Findings<'_> {
    /// What came over the wires of those who receive.
    pub(super) fn wire(&self) -> WireSummary {
        let mut sum = WireSummary::default();
        for outcome in self.of(Group::receives) {
            sum.add(&outcome.wire);
        }
        sum
    }

    /// What was missing for good.
    pub(super) fn lost_after_repair(&self) -> LostPackets {
        let mut sum = LostPackets::default();
        for outcome in self.of(Group::receives) {
            sum.add(&outcome.tally.packets_lost);
        }
        sum
    }

    /// What was done to the paths.
    pub(super) fn faults(&self) -> Known<Faults> {
        let plan = self.plan;
        if plan.paths.are_clean() && plan.roams.is_empty() {
            return Known::no("nothing was done to the links");
        }
        let sum = |counts: fn(&Outcome) -> Option<impair::LinkCounts>| {
            let sum = self
                .outcomes()
                .filter_map(counts)
                .reduce(|mut sum, counts| {
                    sum.add(&counts);
                    sum
                });
            Known::of(sum.map(link_counts), "no link was impaired in process")
        };
        let gaps = self.outcomes().flat_map(|outcome| &outcome.roam_gaps);
        Known::Yes(Faults {
            injected: self.injected(),
            uplink: sum(|outcome| outcome.uplink),
            downlink: sum(|outcome| outcome.downlink),
            roams: self.outcomes().map(|outcome| outcome.roams).sum(),
            roam_gap: Known::of(
                Times::of(gaps.copied()),
                "no bot that receives changed its address",
            ),
        })
    }

    /// Each impairment once, with the number of bots that had it.
    fn injected(&self) -> Vec<Injected> {
        let mut injected: Vec<Injected> = Vec::new();
        let mut note = |impairment: &Impairment, direction, suffix: &str| {
            if *impairment == Impairment::default() {
                return;
            }
            let impairment = format!("{impairment}{suffix}");
            let known = injected
                .iter_mut()
                .find(|known| known.impairment == impairment && known.direction == direction);
            match known {
                Some(known) => known.bots += 1,
                None => injected.push(Injected {
                    impairment,
                    direction,
                    bots: 1,
                }),
            }
        };
        for bot in self.plan.places() {
            let paths = self.plan.paths.impairments_of(&bot);
            for (LinkPair { up, down }, suffix) in paths.iter().zip(["", " (one line for all)"]) {
                if up == down {
                    note(up, Direction::Both, suffix);
                } else {
                    note(up, Direction::Up, suffix);
                    note(down, Direction::Down, suffix);
                }
            }
        }
        injected
    }
}

fn link_counts(counts: impair::LinkCounts) -> LinkCounts {
    LinkCounts {
        packets: counts.offered,
        lost: counts.lost,
        queue_dropped: counts.queue_dropped,
        blacked_out: counts.blacked_out,
        reordered: counts.reordered,
        duplicated: counts.duplicated,
    }
}
