//! How the run went: charts above each other over the same time.

use maud::{Markup, html};

use super::{
    plot::{Plot, at, legend},
    scale::{Scale, clock, time_step},
};
use crate::report::{
    Second, Unit,
    unit::{digits, tick},
};

/// The most points that a line has; of more, the worst of some are shown.
const MOST_POINTS: usize = 360;

/// A line: its class, its name, its values.
type Line = (&'static str, &'static str, fn(&Second) -> Option<f64>);

struct Strip {
    title: &'static str,
    show: fn(f64) -> String,
    lines: &'static [Line],
}

const STRIPS: &[Strip] = &[
    Strip {
        title: "Latency of pictures, ms",
        show: tick,
        lines: &[
            ("one", "p50", |second| second.latency_p50_ms),
            ("two dashed", "p99", |second| second.latency_p99_ms),
        ],
    },
    Strip {
        title: "Packets received a second",
        show: tick,
        lines: &[("one", "packets", |second| Some(second.packets_per_second))],
    },
    Strip {
        title: "CPU, cores",
        show: tick,
        lines: &[
            ("one", "server", |second| second.server_cpu_cores),
            ("two dashed", "load test", |second| {
                Some(second.generator_cpu_cores)
            }),
        ],
    },
    Strip {
        title: "Received, Mbit/s",
        show: tick,
        lines: &[("one", "payload", |second| {
            Some(second.bits_per_second / 1e6)
        })],
    },
    Strip {
        title: "Bots in the call",
        show: tick,
        lines: &[("one", "bots", |second| Some(second.participants as f64))],
    },
    Strip {
        title: "Trouble a second",
        show: tick,
        lines: &[
            ("bad", "packets lost", |second| {
                Some(second.packets_lost as f64)
            }),
            ("two dashed", "receivers frozen", |second| {
                Some(second.frozen as f64)
            }),
        ],
    },
];

const WIDE: Plot = Plot {
    width: 520.0,
    height: 140.0,
    top: 8.0,
    bottom: 26.0,
    ..Plot::WIDE
};
const NARROW: Plot = Plot {
    height: 130.0,
    top: 8.0,
    bottom: 26.0,
    ..Plot::NARROW
};

/// All charts that have something to show.
pub(super) fn charts(timeline: &[Second]) -> Markup {
    let end = timeline.last().map_or(1.0, |second| second.at_seconds);
    let group = timeline.len().div_ceil(MOST_POINTS).max(1);
    html! {
        div class="pair" {
        @for strip in STRIPS {
            @let lines: Vec<_> = strip.lines.iter().filter(|(_, _, of)| timeline.iter().any(|second| of(second).is_some())).collect();
            @if !lines.is_empty() {
                figure {
                    figcaption { (strip.title) }
                    (legend(&lines.iter().map(|(class, name, _)| (*class, *name)).collect::<Vec<_>>()))
                    (chart(strip, &lines, timeline, end, group))
                }
            }
        }
        }
        @if group > 1 {
            p class="note" { "Each point is the highest of " (group) " seconds." }
        }
    }
}

fn chart(strip: &Strip, lines: &[&Line], timeline: &[Second], end: f64, group: usize) -> Markup {
    let highest =
        |of: fn(&Second) -> Option<f64>| timeline.iter().filter_map(of).fold(0.0, f64::max);
    let most = lines
        .iter()
        .map(|(_, _, of)| highest(*of))
        .fold(0.0, f64::max);
    let (x, y) = (Scale::Linear { from: 0.0, to: end }, Scale::up_to(most, 3));
    let told = lines
        .iter()
        .map(|(_, name, of)| format!("{name} up to {}", (strip.show)(highest(*of))));
    let description = told.collect::<Vec<_>>().join(", ");
    WIDE.both(NARROW, strip.title, &description, |plot| {
        html! {
            (window(plot, x, timeline))
            (plot.rows(y, 3, strip.show))
            @let step = time_step(end, plot.ticks());
            (plot.columns((0..=(end / step) as u32).map(|tick| {
                let time = f64::from(tick) * step;
                (x.place(time), clock(time))
            }), ""))
            @for (class, _, of) in lines {
                path class=(class) d=(plot.line(&points(timeline, *of, group, x, y))) {}
            }
            (readings(plot, strip, lines, timeline, x, group))
        }
    })
}

/// The highest of each few seconds.
fn points(
    timeline: &[Second],
    of: fn(&Second) -> Option<f64>,
    group: usize,
    x: Scale,
    y: Scale,
) -> Vec<Option<(f64, f64)>> {
    timeline
        .chunks(group)
        .map(|seconds| {
            let value = seconds.iter().filter_map(of).reduce(f64::max)?;
            let middle = f64::midpoint(seconds.first()?.at_seconds, seconds.last()?.at_seconds);
            Some((x.place(middle), y.place(value)))
        })
        .collect()
}

/// A band behind the seconds that were measured.
fn window(plot: Plot, x: Scale, timeline: &[Second]) -> Markup {
    let mut measured = timeline.iter().filter(|second| second.measured);
    let first = measured.next();
    let last = measured.next_back().or(first);
    html! {
        @if let (Some(first), Some(last)) = (first, last) {
            @let (left, right) = (plot.x(x.place(first.at_seconds - 1.0)), plot.x(x.place(last.at_seconds)));
            rect class="window" x=(at(left)) y=(at(plot.top)) width=(at(right - left)) height=(at(plot.y(0.0) - plot.top)) {}
        }
    }
}

/// What a pointer finds over each moment.
fn readings(
    plot: Plot,
    strip: &Strip,
    lines: &[&Line],
    timeline: &[Second],
    x: Scale,
    group: usize,
) -> Markup {
    html! {
        @for seconds in timeline.chunks(group) {
            @if let (Some(first), Some(last)) = (seconds.first(), seconds.last()) {
                @let (left, right) = (plot.x(x.place(first.at_seconds - 1.0)), plot.x(x.place(last.at_seconds)));
                rect class="reading" x=(at(left)) y=(at(plot.top)) width=(at(right - left)) height=(at(plot.y(0.0) - plot.top)) {
                    title {
                        (clock(last.at_seconds))
                        @for (_, name, of) in lines {
                            @if let Some(value) = seconds.iter().filter_map(*of).reduce(f64::max) {
                                ", " (name) " " ((strip.show)(value))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The timeline in a table, ten rows or so: for those who cannot see the charts.
pub(super) fn table(timeline: &[Second]) -> Markup {
    let group = timeline.len().div_ceil(12).max(1);
    let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), digits);
    let mean = |seconds: &[Second], of: fn(&Second) -> Option<f64>| {
        let values: Vec<f64> = seconds.iter().filter_map(of).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let heads = [
        "until",
        "bots",
        "packets/s",
        "received",
        "p50, ms",
        "p99, ms",
        "lost",
        "frozen",
        "server, cores",
        "load test, cores",
    ];
    html! {
        details {
            summary { "The same in a table" }
            div class="scroll" { table {
                thead { tr { @for head in heads { th class="number" { (head) } } } }
                tbody { @for seconds in timeline.chunks(group) {
                    @let last = seconds.last();
                    tr {
                        td class="number" { (last.map_or_else(String::new, |second| clock(second.at_seconds))) }
                        td class="number" { (cell(last.map(|second| second.participants as f64))) }
                        td class="number" { (cell(mean(seconds, |second| Some(second.packets_per_second)))) }
                        td class="number" { (mean(seconds, |second| Some(second.bits_per_second)).map_or_else(String::new, |rate| Unit::BitsPerSecond.show(rate))) }
                        td class="number" { (cell(mean(seconds, |second| second.latency_p50_ms))) }
                        td class="number" { (cell(seconds.iter().filter_map(|second| second.latency_p99_ms).reduce(f64::max))) }
                        td class="number" { (seconds.iter().map(|second| second.packets_lost).sum::<u64>()) }
                        td class="number" { (seconds.iter().map(|second| second.frozen).max().unwrap_or_default()) }
                        td class="number" { (cell(mean(seconds, |second| second.server_cpu_cores))) }
                        td class="number" { (cell(mean(seconds, |second| Some(second.generator_cpu_cores)))) }
                    }
                } }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_long_run_keeps_its_peaks_in_few_points() {
        let typical = sample::report().timeline[20].clone();
        let mut timeline: Vec<Second> = (0..7_200)
            .map(|number| Second {
                at_seconds: f64::from(number + 1),
                ..typical.clone()
            })
            .collect();
        timeline[5_003].packets_lost = 77;
        let (x, y) = (
            Scale::Linear {
                from: 0.0,
                to: 7_200.0,
            },
            Scale::up_to(77.0, 3),
        );
        let group = timeline.len().div_ceil(MOST_POINTS);
        let points = points(
            &timeline,
            |second| Some(second.packets_lost as f64),
            group,
            x,
            y,
        );
        assert!(points.len() <= MOST_POINTS);
        let peak = points
            .iter()
            .flatten()
            .map(|(_, height)| *height)
            .fold(0.0, f64::max);
        assert!((peak - y.place(77.0)).abs() < 1e-9);
    }
}
