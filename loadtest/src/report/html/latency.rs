//! How latencies are distributed: the crowd on a logarithmic axis, and the tail.

use maud::{Markup, html};

use super::{
    plot::{Plot, at, legend},
    scale::Scale,
};
use crate::report::{
    Bucket, Distribution, Known, Times,
    unit::{digits, tick},
};

/// The most steps that the crowd is shown in.
const MOST_STEPS: i32 = 70;

/// What is drawn, its class, and its name.
type Series<'a> = (&'a Distribution, &'static str, &'static str);

/// Both charts of what is known, and the reasons for what is not.
pub(super) fn charts(
    kind: &str,
    from_schedule: &Known<Distribution>,
    from_send: &Known<Distribution>,
) -> Markup {
    let series: Vec<Series<'_>> = [
        (from_schedule, "one", "from the schedule"),
        (from_send, "two", "from sending"),
    ]
    .into_iter()
    .filter_map(|(distribution, class, name)| Some((distribution.yes()?, class, name)))
    .collect();
    html! {
        @if let Some((first, ..)) = series.first() {
            @let legend = legend(&series.iter().map(|(_, class, name)| (*class, *name)).collect::<Vec<_>>());
            div class="pair" {
                figure {
                    figcaption { "How long frames took" }
                    (legend)
                    (crowd(kind, &series, &first.times))
                }
                figure {
                    figcaption { "The slowest of them" }
                    (legend)
                    (tail(kind, &series))
                }
            }
            (table(&series))
        }
        @for (distribution, name) in [(from_schedule, "From the schedule"), (from_send, "From sending")] {
            @if let Some(reason) = distribution.reason() {
                p class="unknown" { (name) ": not known – " (reason) "." }
            }
        }
    }
}

fn table(series: &[Series<'_>]) -> Markup {
    html! {
        div class="scroll" { table {
            thead { tr {
                th { "ms" }
                @for head in ["p50", "p90", "p95", "p99", "p99.9", "longest", "frames"] { th class="number" { (head) } }
            } }
            tbody { @for (distribution, _, name) in series {
                @let Times { count, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms } = distribution.times;
                tr {
                    th scope="row" { (name) }
                    @for value in [p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms, count as f64] {
                        td class="number" { (digits(value)) }
                    }
                }
            } }
        } }
    }
}

const WIDE: Plot = Plot {
    width: 520.0,
    height: 270.0,
    top: 50.0,
    ..Plot::WIDE
};
const NARROW: Plot = Plot {
    height: 240.0,
    top: 50.0,
    ..Plot::NARROW
};

/// The shares of frames in steps of equal ratio, each of which is some whole buckets wide.
struct Steps {
    first: i32,
    ratio: f64,
    shares: Vec<f64>,
}

impl Steps {
    /// Few enough steps to be seen, over all durations up to the bounds `from` to `to`.
    fn of(buckets: &[Bucket], from: f64, to: f64) -> Self {
        let number = |bound: f64| bound.log(Bucket::WIDENING).round() as i32;
        let width = (number(to) - number(from)) / MOST_STEPS + 1;
        let place = |bound: f64| (number(bound) - 1).div_euclid(width);
        let first = place(from);
        let mut counts = vec![0_u64; (place(to) - first + 1).max(1) as usize];
        for bucket in buckets {
            if let Some(count) = counts.get_mut((place(bucket.up_to_ms) - first).max(0) as usize) {
                *count += bucket.count;
            }
        }
        let all = counts.iter().sum::<u64>().max(1) as f64;
        Self {
            first,
            ratio: Bucket::WIDENING.powi(width),
            shares: counts.into_iter().map(|count| count as f64 / all).collect(),
        }
    }

    /// Beginning, end and share of each.
    fn iter(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        (self.first..)
            .zip(&self.shares)
            .map(|(place, share)| (self.ratio.powi(place), self.ratio.powi(place + 1), *share))
    }
}

fn crowd(kind: &str, series: &[Series<'_>], times: &Times) -> Markup {
    let bounds = || {
        series
            .iter()
            .flat_map(|(distribution, ..)| &distribution.buckets)
            .map(|bucket| bucket.up_to_ms)
    };
    let from = bounds().fold(f64::INFINITY, f64::min);
    let to = bounds().fold(from * 1.5, f64::max);
    let steps: Vec<_> = series
        .iter()
        .map(|(distribution, class, _)| (Steps::of(&distribution.buckets, from, to), *class))
        .collect();
    let most = steps
        .iter()
        .flat_map(|(steps, _)| &steps.shares)
        .fold(0.0, |a: f64, b| a.max(*b));
    let ends = steps
        .iter()
        .flat_map(|(steps, _)| steps.iter())
        .fold((from, to), |(low, high), (begin, end, _)| {
            (low.min(begin), high.max(end))
        });
    let x = Scale::Log {
        from: ends.0,
        to: ends.1,
    };
    let y = Scale::up_to(most * 100.0, 4);
    let description = format!(
        "Half of the {kind} frames took at most {} ms, 99 of 100 at most {} ms.",
        digits(times.p50_ms),
        digits(times.p99_ms)
    );
    WIDE.both(NARROW, &format!("Distribution of {kind} latency"), &description, |plot| html! {
        (plot.rows(y, 4, |share| format!("{} %", tick(share))))
        (plot.columns(x.ticks(plot.ticks()).into_iter().map(|value| (x.place(value), tick(value))), "ms, logarithmic"))
        @for (steps, class) in &steps {
            @if *class == "one" || series.len() == 1 { (bars(plot, x, y, steps, class)) }
            @else { path class=(format!("{class} dashed")) d=(outline(plot, x, y, steps)) {} }
        }
        (markers(plot, x, times))
    })
}

fn bars(plot: Plot, x: Scale, y: Scale, steps: &Steps, class: &str) -> Markup {
    html! {
        @for (begin, end, share) in steps.iter().filter(|(_, _, share)| *share > 0.0) {
            @let (left, right) = (plot.x(x.place(begin)), plot.x(x.place(end)));
            @let top = plot.y(y.place(share * 100.0)).min(plot.y(0.0) - 1.0);
            rect class=(format!("{class} fill")) x=(at(left)) y=(at(top)) width=(at((right - left - 0.8).max(0.8))) height=(at(plot.y(0.0) - top)) {
                title { (digits(begin)) " to " (digits(end)) " ms: " (digits(share * 100.0)) " %" }
            }
        }
    }
}

fn outline(plot: Plot, x: Scale, y: Scale, steps: &Steps) -> String {
    let corners: Vec<_> = steps
        .iter()
        .flat_map(|(begin, end, share)| {
            let height = y.place(share * 100.0);
            [Some((x.place(begin), height)), Some((x.place(end), height))]
        })
        .collect();
    plot.line(&corners)
}

/// Upright lines at the percentiles, with their names in as many rows as they need.
fn markers(plot: Plot, x: Scale, times: &Times) -> Markup {
    let mut ends = [f64::NEG_INFINITY; 3];
    let labels = [
        ("p50", times.p50_ms),
        ("p90", times.p90_ms),
        ("p99", times.p99_ms),
        ("p99.9", times.p999_ms),
    ]
    .map(|(name, value)| {
        let (place, text) = (plot.x(x.place(value)), format!("{name} {}", digits(value)));
        let half = text.len() as f64 * 3.5;
        let middle = place.clamp(plot.left + half, plot.x(1.0) - half);
        let row = ends
            .iter()
            .position(|end| *end < middle - half)
            .unwrap_or(2);
        if let Some(end) = ends.get_mut(row) {
            *end = middle + half + 6.0;
        }
        (place, middle, row, text)
    });
    html! {
        @for (place, middle, row, text) in labels {
            @let y = plot.top - 4.0 - 14.0 * row as f64;
            line class="marker" x1=(at(place)) x2=(at(place)) y1=(at(y + 2.0)) y2=(at(plot.y(0.0))) {}
            text class="mark middle" x=(at(middle)) y=(at(y)) { (text) }
        }
    }
}

/// Latency over the share of frames that were faster, stretched towards the end: each
/// step to the right is ten times as rare.
fn tail(kind: &str, series: &[Series<'_>]) -> Markup {
    let most = series
        .iter()
        .map(|(distribution, ..)| distribution.times.max_ms)
        .fold(0.0, f64::max);
    let count = series
        .iter()
        .map(|(distribution, ..)| distribution.times.count)
        .max()
        .unwrap_or(1);
    let decades = (count as f64).log10().clamp(1.0, 6.0);
    let y = Scale::up_to(most, 4);
    let nines = [
        (0.0, "0 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
        (5.0, "99.999 %"),
        (6.0, "99.9999 %"),
    ];
    let lines: Vec<_> = series
        .iter()
        .map(|(distribution, class, _)| (curve(distribution, decades, y), *class))
        .collect();
    let description = format!("The slowest {kind} frame took {} ms.", digits(most));
    let (wide, narrow) = (
        Plot {
            top: 12.0,
            height: 270.0,
            ..WIDE
        },
        Plot {
            top: 12.0,
            height: 240.0,
            ..NARROW
        },
    );
    wide.both(narrow, &format!("Tail of {kind} latency"), &description, |plot| html! {
        (plot.rows(y, 4, tick))
        (plot.columns(
            nines.iter().filter(|(decade, _)| *decade <= decades + 0.05).map(|(decade, text)| ((decade / decades).min(1.0), (*text).to_owned())),
            "part of the frames that took at most so many ms",
        ))
        @for (places, class) in lines.iter().rev() {
            path class=(if *class == "one" { "one" } else { "two dashed" }) d=(plot.line(places)) {}
        }
    })
}

fn curve(distribution: &Distribution, decades: f64, y: Scale) -> Vec<Option<(f64, f64)>> {
    let all = distribution.times.count as f64;
    let mut below = 0_u64;
    let mut places = Vec::new();
    for bucket in &distribution.buckets {
        let height = y.place(bucket.up_to_ms.min(distribution.times.max_ms));
        let place = |below: u64| {
            let rarity = all / (all - below as f64).max(1.0);
            (rarity.log10() / decades).min(1.0)
        };
        places.push(Some((place(below), height)));
        below += bucket.count;
        places.push(Some((place(below), height)));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn video() -> Distribution {
        let report = sample::report();
        let video = report.fanout.yes().unwrap().video.yes().unwrap();
        video.from_schedule.yes().unwrap().clone()
    }

    #[test]
    fn steps_hold_all_frames_in_order() {
        let distribution = video();
        let bounds = || distribution.buckets.iter().map(|bucket| bucket.up_to_ms);
        let (from, to) = (bounds().next().unwrap(), bounds().next_back().unwrap());
        let steps = Steps::of(&distribution.buckets, from, to);
        let sum: f64 = steps.shares.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert!((20..=80).contains(&steps.shares.len()));
        // Half of them are at most the median.
        let median = distribution.times.p50_ms;
        let faster: f64 = steps
            .iter()
            .filter(|(_, end, _)| *end <= median * 1.1)
            .map(|(_, _, share)| share)
            .sum();
        assert!((0.35..0.65).contains(&faster), "{faster}");
    }

    #[test]
    fn the_tail_rises_to_the_slowest_frame() {
        let distribution = video();
        let places = curve(
            &distribution,
            4.0,
            Scale::up_to(distribution.times.max_ms, 4),
        );
        let heights: Vec<f64> = places.iter().flatten().map(|(_, height)| *height).collect();
        assert!(heights.is_sorted());
        let (last, _) = places.last().unwrap().unwrap();
        assert!(
            (last - 1.0).abs() < 1e-9,
            "20,000 frames reach beyond four nines: {last}"
        );
    }
}
