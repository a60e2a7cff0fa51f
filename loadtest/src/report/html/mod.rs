//! Reports as pages: one file, which needs no network and runs no script. Charts are SVG,
//! drawn here; what is typed in by people is escaped by the templates.

mod bars;
mod compared;
mod latency;
mod plot;
mod scale;
mod timeline;

pub use compared::comparison;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    BuildProfile, Known, Report, Unit, Verdict, named,
    table::{Line, Table},
    unit::digits,
};

const STYLE: &str = include_str!("style.css");

/// Allows nothing but the page itself.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

fn page(title: &str, body: &Markup) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    markup.into_string()
}

/// A page that stands by itself.
pub fn report(report: &Report) -> String {
    let title = format!(
        "{} on {}: {}",
        report.run.scenario,
        report.run.target,
        report.verdict.told()
    );
    page(
        &title,
        &html! {
            (head(report))
            (tiles(report))
            (bounds(report))
            section class="card" {
                h2 { "Fan-out latency" }
                @match &report.fanout {
                    Known::No { unknown } => { p class="unknown" { "Not known – " (unknown) "." } }
                    Known::Yes(fanout) => {
                        @for (name, kind) in [("video", &fanout.video), ("audio", &fanout.audio)] {
                            h3 { (if name == "video" { "Pictures" } else { "Sound" }) }
                            @match kind {
                                Known::No { unknown } => { p class="unknown" { "Not known – " (unknown) "." } }
                                Known::Yes(latency) => { (latency::charts(name, &latency.from_schedule, &latency.from_send)) }
                            }
                        }
                        p class="note" {
                            "From the schedule: counted from when a frame was due, so that what a late sender held back counts. "
                            "From sending: counted from when it was handed over for sealing and sending."
                        }
                    }
                }
            }
            @if !report.timeline.is_empty() {
                section class="card" {
                    h2 { "Second by second" }
                    p class="note" { "The band marks what was measured." }
                    (timeline::charts(&report.timeline))
                    (timeline::table(&report.timeline))
                }
            }
            section class="card" { h2 { "Getting in" } (bars::join(&report.join)) }
            section class="card" {
                h2 { "Cost of the server" }
                @match &report.server {
                    Known::No { unknown } => { p class="unknown" { "Not known – " (unknown) "." } }
                    Known::Yes(server) => { (bars::cost(server)) }
                }
            }
            section class="card" { h2 { "What was lost" } (bars::loss(&report.loss)) }
            (all(report))
            (run(report))
        },
    )
}

fn head(report: &Report) -> Markup {
    let run = &report.run;
    let class = match report.verdict {
        Verdict::Ok => "good",
        Verdict::Failed | Verdict::Missed => "bad",
        Verdict::Void => "warn",
    };
    let told = match report.verdict {
        Verdict::Ok if report.slos.is_empty() => "The numbers stand",
        Verdict::Ok => "The numbers stand, and every bound holds",
        Verdict::Failed => "Failed",
        Verdict::Void => "Void: the load test was itself the bottleneck",
        Verdict::Missed => "Missed: not every bound holds",
    };
    html! {
        header {
            p class="brand" { "conclave-loadtest" }
            h1 { (run.scenario) }
            p class="where" {
                (run.target) " at " (run.server) " · " (digits(run.measured_seconds)) " s measured · "
                (run.participants) " bots in the call · " (moment(&run.begun_at))
            }
            p class=(format!("verdict {class}")) { (told) }
            @for failure in &report.failures { p class="failure" { (failure) } }
            @for reason in &report.generator.reasons { p class="failure" { "Load test: " (reason) } }
            @if run.build_profile == BuildProfile::Debug {
                p class="failure" { "A debug build of the load test made this: it tests, and measures nothing." }
            }
        }
    }
}

/// A moment (RFC 3339) as people write it.
fn moment(text: &str) -> String {
    text.replacen('T', " ", 1).replacen('Z', " UTC", 1)
}

/// The figures that are asked for first, by their names; where the first is not known, the
/// next one of the row may be.
const TILES: &[(&str, &[&str])] = &[
    ("Video latency, p50", &["p50", "sent_p50"]),
    ("Video latency, p99", &["p99", "sent_p99"]),
    ("Frames delivered", &["delivered"]),
    ("Server CPU a packet", &["cpu"]),
    ("Packets a second and core", &["packets_per_core"]),
    ("Join, p95", &["join_p95"]),
    ("Freezes", &["freezes"]),
    ("Frames that failed to open", &["decrypt_failures"]),
];

fn tiles(report: &Report) -> Markup {
    let figures = TILES.iter().filter_map(|(title, names)| {
        let figures = || names.iter().filter_map(|name| named(name));
        let known = figures().find(|figure| (figure.of)(report).yes().is_some());
        Some((*title, known.or_else(|| figures().next())?))
    });
    html! {
        section class="tiles" aria-label="Key figures" {
            @for (title, figure) in figures {
                @let missed = report.slos.iter().any(|slo| slo.figure == figure.name && !slo.held);
                div class=(if missed { "tile missed" } else { "tile" }) {
                    p class="label" { (title) @if figure.name.starts_with("sent_") { " (from sending)" } }
                    @match (figure.of)(report) {
                        Known::Yes(value) => { p class="value" { (value_and_unit(figure.unit, value)) } }
                        Known::No { unknown } => {
                            p class="value none" { "–" }
                            p class="reason" { (unknown) }
                        }
                    }
                }
            }
        }
    }
}

/// The number large, its unit small.
fn value_and_unit(unit: Unit, value: f64) -> Markup {
    let text = unit.show(value);
    html! {
        @match text.split_once(' ') {
            Some((number, unit)) => { (number) " " small { (unit) } },
            None => (text),
        }
    }
}

fn bounds(report: &Report) -> Markup {
    let show = |slo: &super::SloOutcome, value: f64| {
        named(&slo.figure).map_or_else(|| value.to_string(), |figure| figure.unit.show(value))
    };
    html! {
        @if !report.slos.is_empty() {
            section class="card" {
                h2 { "Bounds" }
                div class="scroll" { table {
                    thead { tr { th { "asked" } th { "figure" } th class="number" { "measured" } th class="number" { "bound" } th {} } }
                    tbody { @for slo in &report.slos {
                        tr {
                            th scope="row" { code { (slo.asked) } }
                            td { (named(&slo.figure).map_or("", |figure| figure.label)) }
                            td class="number" { @match &slo.measured {
                                Known::Yes(value) => (show(slo, *value)),
                                Known::No { unknown } => { span class="unknown" { "not known – " (unknown) } }
                            } }
                            td class="number" { (show(slo, slo.bound)) }
                            td { @if slo.held { span class="chip good" { "holds" } } @else { span class="chip bad" { "does not hold" } } }
                        }
                    } }
                } }
            }
        }
    }
}

fn all(report: &Report) -> Markup {
    let table = Table::of(report);
    html! {
        section class="card" {
            h2 { "All figures" }
            div class="groups" {
                @for lines in table.lines.chunk_by(|a, b| a.group == b.group) {
                    @if let Some(Line { group, .. }) = lines.first().filter(|line| line.group != "bounds") {
                        div class="group" {
                            h3 { (group) }
                            dl { @for Line { name, value, .. } in lines { dt { (name) } dd { (value) } } }
                        }
                    }
                }
            }
            @if !table.unknown.is_empty() {
                h3 { "Not known" }
                ul class="unknowns" { @for (reason, figures) in &table.unknown {
                    li { (figures.join(", ")) span class="unknown" { " – " (reason) } }
                } }
            }
        }
    }
}

fn run(report: &Report) -> Markup {
    let run = &report.run;
    let told = |text: &Known<String>| match text {
        Known::Yes(text) => text.clone(),
        Known::No { unknown } => format!("not known – {unknown}"),
    };
    let build = match run.build_profile {
        BuildProfile::Release => "release build",
        BuildProfile::Debug => "debug build",
    };
    html! {
        section class="card" {
            h2 { "The run" }
            dl {
                dt { "load test" } dd { "conclave-loadtest " (run.tool_version) ", " (build) }
                dt { "machine" } dd { (run.machine.cores) " cores, " (told(&run.machine.cpu_model)) ", " (told(&run.machine.kernel)) }
                dt { "begun" } dd { (moment(&run.begun_at)) }
                dt { "seed" } dd { @match &run.seed { Known::Yes(seed) => (seed), Known::No { unknown } => { "none – " (unknown) } } }
                @for (name, value) in &run.settings {
                    dt { (name.replace('_', " ")) }
                    dd { @match value { serde_json::Value::String(text) => (text), value => (value) } }
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::sample;

    /// What holds for every page.
    pub(in crate::report) fn check(page: &str) {
        assert!(page.starts_with("<!DOCTYPE html>"));
        for foreign in [
            "<script",
            "http-equiv=\"refresh",
            "<link",
            "<img",
            "src=",
            "href=",
            "@import",
            "url(",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(
            !page.contains("NaN") && !page.contains("inf"),
            "a place that is no number"
        );
        // What is open is closed again, in order.
        let mut open = Vec::new();
        for tag in page.split('<').skip(1) {
            let name = tag
                .split(|c: char| c == '>' || c.is_whitespace())
                .next()
                .unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "…{tag}"),
                None if ["!DOCTYPE", "meta"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn a_page_stands_by_itself_and_shows_every_chart() {
        let page = report(&sample::report());
        check(&page);
        for part in [
            "<h1>broadcast</h1>",
            "The numbers stand, and every bound holds",
            "Distribution of video latency",
            "Tail of audio latency",
            "aria-label=\"CPU, cores. server up to",
            "media connected (DTLS)",
            "in the kernel",
            "retransmissions",
            "server system calls",
            "Some Processor",
        ] {
            assert!(page.contains(part), "{part}");
        }
        let svgs = page.matches("role=\"img\"").count();
        assert_eq!(svgs, page.matches("role=\"img\" viewBox").count());
        assert_eq!(
            svgs,
            2 * (4 + 6),
            "each chart, for wide and for narrow screens"
        );
    }

    #[test]
    fn what_people_typed_in_is_escaped() {
        let mut changed = sample::report();
        let mischief = "<script>alert(\"&\")</script>".to_owned();
        changed.run.scenario.clone_from(&mischief);
        changed.run.server.clone_from(&mischief);
        changed.failures.push(mischief.clone());
        changed.slos[0].asked.clone_from(&mischief);
        changed
            .run
            .settings
            .insert(mischief.clone(), mischief.clone().into());
        changed.soak = Known::no(mischief.clone());
        let page = report(&changed);
        check(&page);
        assert!(
            page.matches("&lt;script&gt;").count() >= 6,
            "each of them is shown"
        );
    }

    #[test]
    fn a_report_without_figures_says_why_in_each_place() {
        let mut empty = sample::report();
        let reason = "it was not to be had";
        empty.fanout = Known::no(reason);
        empty.server = Known::no(reason);
        empty.video = Known::no(reason);
        empty.bandwidth = Known::no(reason);
        empty.encryption = Known::no(reason);
        empty.loss.audio = Known::no(reason);
        empty.join.total = Known::no(reason);
        empty.timeline.clear();
        let page = report(&empty);
        check(&page);
        assert!(
            page.matches(reason).count() >= 9,
            "{}",
            page.matches(reason).count()
        );
        assert!(!page.contains("Second by second"));
    }

    #[test]
    fn extreme_figures_make_no_impossible_places() {
        let mut extreme = sample::report();
        if let Known::Yes(fanout) = &mut extreme.fanout
            && let Known::Yes(video) = &mut fanout.video
            && let Known::Yes(distribution) = &mut video.from_schedule
        {
            distribution.buckets.truncate(1);
            distribution.times.count = 1;
        }
        extreme.timeline.truncate(1);
        extreme.join.total = sample::report().join.first_picture;
        check(&report(&extreme));
    }
}
