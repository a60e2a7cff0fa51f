//! Tables with bars in them: the numbers are there for those who cannot see the bars.

use maud::{Markup, html};

use crate::report::{
    Join, Known, Loss, Packets, Server, Times, Unit,
    unit::{counted, digits},
};

/// A bar of parts, each with its class and its share of the whole width.
fn bar(parts: &[(&str, f64)]) -> Markup {
    let mut start = 0.0;
    html! {
        svg class="bar" height="16" aria-hidden="true" {
            @for (class, share) in parts {
                rect class=(class) x=(format!("{:.2}%", start * 100.0)) y="2" height="12" rx="1" width=(format!("{:.2}%", share.max(0.0) * 100.0)) {}
                ({ start += share; "" })
            }
        }
    }
}

/// What is not known, reason by reason.
fn unknown(figures: &[(&str, Option<&str>)]) -> Markup {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, reason) in figures {
        let Some(reason) = reason else { continue };
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, names)) => names.push(name),
            None => reasons.push((reason, vec![name])),
        }
    }
    html! {
        @for (reason, names) in reasons {
            p class="unknown" { (names.join(", ")) ": not known – " (reason) "." }
        }
    }
}

/// From the first message to the first picture.
pub(super) fn join(join: &Join) -> Markup {
    let phases = [
        ("let in (signalling)", &join.signalling),
        ("in the group (MLS)", &join.group),
        ("addresses work (ICE)", &join.ice),
        ("media connected (DTLS)", &join.dtls),
        ("control channel open", &join.control_channel),
        ("all of it", &join.total),
        ("first sound", &join.first_audio),
        ("first picture", &join.first_picture),
    ];
    let known: Vec<(&str, &Times)> = phases
        .iter()
        .filter_map(|(name, times)| Some((*name, times.yes()?)))
        .collect();
    let longest = known
        .iter()
        .map(|(_, times)| times.max_ms)
        .fold(1e-9, f64::max);
    html! {
        p {
            b { (join.succeeded) " of " (join.asked) } " joins succeeded"
            @if let Known::Yes(rate) = &join.joins_per_second { ", " (digits(*rate)) " a second" }
            ". Each phase is counted from opening the connection."
        }
        @if !known.is_empty() {
            ul class="legend" {
                @for (class, name) in [("one", "p50"), ("one mid", "p95"), ("one light", "longest")] {
                    li { svg class="key" width="14" height="10" aria-hidden="true" { rect class=(format!("{class} solid")) width="14" height="10" rx="2" {} } (name) }
                }
            }
            div class="scroll" { table class="bars" {
                thead { tr { th { "until" } th class="wide-only" {} @for head in ["p50, ms", "p95, ms", "longest, ms", "bots"] { th class="number" { (head) } } } }
                tbody { @for (name, times) in &known {
                    tr {
                        th scope="row" { (name) }
                        td class="wide-only stretch" { (bar(&[
                            ("one solid", times.p50_ms / longest),
                            ("one mid solid", (times.p95_ms - times.p50_ms) / longest),
                            ("one light solid", (times.max_ms - times.p95_ms) / longest),
                        ])) }
                        @for value in [times.p50_ms, times.p95_ms, times.max_ms, times.count as f64] { td class="number" { (digits(value)) } }
                    }
                } }
            } }
        }
        (unknown(&phases.map(|(name, times)| (name, times.reason()))))
    }
}

/// CPU time of a forwarded packet: where it goes.
pub(super) fn cost(server: &Server) -> Markup {
    let Known::Yes(all) = server.cpu_us_per_packet else {
        return unknown(&[("CPU time", server.cpu_us_per_packet.reason())]);
    };
    let parts = [
        ("in user mode", "one", &server.user_us_per_packet),
        ("in the kernel", "two", &server.system_us_per_packet),
        ("in media threads", "three", &server.worker_us_per_packet),
    ];
    let split: Vec<(&str, &str, f64)> = parts
        .iter()
        .filter_map(|(name, class, part)| Some((*name, *class, *part.yes()?)))
        .collect();
    let modes: Vec<(String, f64)> = split
        .iter()
        .filter(|(_, class, _)| *class != "three")
        .map(|(_, class, part)| (format!("{class} solid"), part / all))
        .collect();
    let modes: Vec<(&str, f64)> = modes
        .iter()
        .map(|(class, part)| (class.as_str(), *part))
        .collect();
    html! {
        div class="scroll" { table class="bars" {
            thead { tr { th { "CPU time a packet" } th class="wide-only" {} th class="number" { "µs" } th class="number" { "share" } } }
            tbody {
                tr {
                    th scope="row" { "all of the process" }
                    td class="wide-only stretch" { @if modes.len() == 2 { (bar(&modes)) } @else { (bar(&[("one solid", 1.0)])) } }
                    td class="number" { b { (digits(all)) } }
                    td class="number" { "100 %" }
                }
                @for (name, class, part) in &split {
                    tr {
                        th scope="row" { (name) }
                        td class="wide-only stretch" { (bar(&[(&format!("{class} solid"), (part / all).min(1.0))])) }
                        td class="number" { (digits(*part)) }
                        td class="number" { (Unit::Ratio.show(part / all)) }
                    }
                }
            }
        } }
        (unknown(&[
            ("Time in user mode", server.user_us_per_packet.reason()),
            ("Time in the kernel", server.system_us_per_packet.reason()),
            ("Time in media threads", server.worker_us_per_packet.reason()),
            ("System calls", server.syscalls_per_packet.reason()),
        ]))
    }
}

/// Losses by kind, on the wire and after repair.
pub(super) fn loss(loss: &Loss) -> Markup {
    let kinds = [
        ("all", Known::Yes(&loss.all)),
        ("sound", loss.audio.as_ref()),
        ("pictures", loss.video.as_ref()),
        ("retransmissions", loss.retransmission.as_ref()),
    ];
    let known: Vec<(&str, &Packets)> = kinds
        .iter()
        .filter_map(|(name, packets)| Some((*name, *packets.yes()?)))
        .collect();
    let share = |count: u64, packets: &Packets| {
        count as f64 / (packets.received + packets.lost_after_repair).max(1) as f64
    };
    let on_wire = |packets: &Packets| {
        packets
            .lost_on_wire
            .yes()
            .map(|count| share(*count, packets))
    };
    let most = known
        .iter()
        .flat_map(|(_, packets)| {
            [
                on_wire(packets),
                Some(share(packets.lost_after_repair, packets)),
            ]
        })
        .flatten()
        .fold(1e-4, f64::max);
    let count = |count: &Known<u64>| {
        count
            .yes()
            .map_or_else(|| "–".to_owned(), |count| counted(*count))
    };
    html! {
        ul class="legend" {
            @for (class, name) in [("two", "lost at first"), ("bad", "lost for good")] {
                li { svg class="key" width="14" height="10" aria-hidden="true" { rect class=(format!("{class} solid")) width="14" height="10" rx="2" {} } (name) }
            }
        }
        div class="scroll" { table class="bars" {
            thead { tr { th { "packets" } th class="wide-only" {} @for head in ["received", "lost at first", "lost for good", "of all", "twice", "out of order"] { th class="number" { (head) } } } }
            tbody { @for (name, packets) in &known {
                tr {
                    th scope="row" { (name) }
                    td class="wide-only stretch" {
                        @if let Some(part) = on_wire(packets) { (bar(&[("two solid", part / most)])) }
                        (bar(&[("bad solid", share(packets.lost_after_repair, packets) / most)]))
                    }
                    td class="number" { (counted(packets.received)) }
                    td class="number" { (count(&packets.lost_on_wire)) }
                    td class="number" { (counted(packets.lost_after_repair)) }
                    td class="number" { (packets.loss_ratio.yes().map_or_else(|| "–".to_owned(), |ratio| Unit::Ratio.show(*ratio))) }
                    td class="number" { (count(&packets.duplicates)) }
                    td class="number" { (count(&packets.reordered)) }
                }
            } }
        } }
        (unknown(&kinds.map(|(name, packets)| (name, match packets { Known::No { .. } => match name {
            "sound" => loss.audio.reason(),
            "pictures" => loss.video.reason(),
            _ => loss.retransmission.reason(),
        }, Known::Yes(_) => None }))))
    }
}
