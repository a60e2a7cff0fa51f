//! Two runs beside each other.
//!
//! A difference is flagged only where the seconds of the two runs tell how large the noise
//! within them is ([`stats::difference_of_means`]). How much one run differs from the next
//! of the same server, no two runs can tell; repeated pairs can ([`super::Ab`]).

use std::fmt;

use super::{Better, BuildProfile, FIGURES, Figure, Known, Report, Verdict, unit::tick};
use crate::stats::{self, Interval};

/// How sure a flag is. About eight figures are told by seconds, so one comparison in ten
/// or so of equal servers has a flag somewhere.
const CONFIDENCE: f64 = 0.99;

/// Why two runs cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these runs cannot be compared: {}; --force does it all the same", obstacles.join("; "))]
pub struct Incomparable {
    /// Each for people.
    pub obstacles: Vec<String>,
}

/// What became of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Better by more than noise.
    Better,
    /// Worse by more than noise.
    Worse,
    /// Other by more than noise, which is neither good nor bad.
    Other,
    /// No more than noise.
    Noise,
    /// Nobody knows how much of it is noise.
    Unsure,
}

impl Change {
    /// In words.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Other => "other",
            Self::Noise => "noise",
            Self::Unsure => "",
        }
    }
}

/// One figure of both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub figure: &'static Figure,
    /// In the first run.
    pub a: Known<f64>,
    /// In the second.
    pub b: Known<f64>,
    /// By how much the second differs, by the first; none where that is zero.
    pub relative: Option<f64>,
    /// What the seconds of the runs say of it, by the first run's.
    pub by_seconds: Option<Interval>,
    /// The judgement.
    pub change: Change,
}

/// Two runs beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The first run.
    pub a: String,
    /// The second.
    pub b: String,
    /// What to have in mind.
    pub caveats: Vec<String>,
    /// The figures that one of them knows.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// Compares two runs. With `force`, what speaks against it becomes a caveat.
    pub fn of(a: &Report, b: &Report, force: bool) -> Result<Self, Incomparable> {
        let obstacles = obstacles(a, b);
        if !force && !obstacles.is_empty() {
            return Err(Incomparable { obstacles });
        }
        let rows = FIGURES.iter().map(|figure| Row::of(figure, a, b));
        Ok(Self {
            a: name(a),
            b: name(b),
            caveats: obstacles.into_iter().chain(caveats(a, b)).collect(),
            rows: rows
                .filter(|row| row.a.yes().is_some() || row.b.yes().is_some())
                .collect(),
        })
    }
}

fn name(report: &Report) -> String {
    let run = &report.run;
    format!(
        "{} on {} at {}, {} ({})",
        run.scenario,
        run.target,
        run.server,
        run.begun_at,
        report.verdict.told()
    )
}

fn obstacles(a: &Report, b: &Report) -> Vec<String> {
    let mut obstacles = Vec::new();
    if a.run.scenario != b.run.scenario {
        let scenarios = (&a.run.scenario, &b.run.scenario);
        obstacles.push(format!(
            "one ran {}, the other {}",
            scenarios.0, scenarios.1
        ));
    }
    let (ours, theirs) = (&a.run.settings, &b.run.settings);
    let missing = theirs.keys().filter(|key| !ours.contains_key(*key));
    let differing: Vec<_> = ours
        .keys()
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .chain(missing)
        .map(String::as_str)
        .collect();
    if !differing.is_empty() {
        obstacles.push(format!("their settings differ in {}", differing.join(", ")));
    }
    for (report, which) in [(a, "first"), (b, "second")] {
        if report.verdict == Verdict::Void {
            obstacles.push(format!("the {which} is void"));
        }
    }
    obstacles
}

fn caveats(a: &Report, b: &Report) -> Vec<String> {
    let mut caveats = Vec::new();
    if a.run.machine != b.run.machine {
        caveats.push("they ran on different machines".to_owned());
    }
    if a.run.tool_version != b.run.tool_version {
        caveats.push("different versions of the load test measured them".to_owned());
    }
    for (report, which) in [(a, "first"), (b, "second")] {
        if report.run.build_profile == BuildProfile::Debug {
            caveats.push(format!(
                "a debug build of the load test measured the {which}"
            ));
        }
        if report.verdict == Verdict::Failed {
            caveats.push(format!("something did not work in the {which}"));
        }
    }
    caveats
}

impl Row {
    fn of(figure: &'static Figure, a: &Report, b: &Report) -> Self {
        let (before, after) = ((figure.of)(a), (figure.of)(b));
        let values = before.yes().copied().zip(after.yes().copied());
        let difference = values.map(|(before, after)| after - before);
        let relative = values
            .filter(|(before, _)| *before != 0.0)
            .map(|(before, after)| after / before - 1.0);
        let seconds = figure
            .of_second
            .map(|of| [a, b].map(|report| measured(report, of)));
        let interval = seconds
            .as_ref()
            .and_then(|[a, b]| stats::difference_of_means(a, b, CONFIDENCE));
        let change = match (difference, interval) {
            (Some(difference), Some(interval)) => judge(figure.better, difference, &interval),
            _ => Change::Unsure,
        };
        let level = seconds.map(|[a, _]| a.iter().sum::<f64>() / a.len() as f64);
        Self {
            figure,
            relative,
            by_seconds: interval
                .zip(level)
                .filter(|(_, level)| *level > 0.0)
                .map(|(interval, level)| interval.times(1.0 / level)),
            change,
            a: before,
            b: after,
        }
    }
}

fn measured(report: &Report, of: fn(&super::Second) -> Option<f64>) -> Vec<f64> {
    let seconds = report.timeline.iter().filter(|second| second.measured);
    seconds.filter_map(of).collect()
}

fn judge(better: Better, difference: f64, by_seconds: &Interval) -> Change {
    // The seconds must agree with the whole on the direction.
    if !by_seconds.excludes(0.0) || difference.signum() != by_seconds.value.signum() {
        return Change::Noise;
    }
    match (better, difference > 0.0) {
        (Better::Neither, _) => Change::Other,
        (Better::Lower, false) | (Better::Higher, true) => Change::Better,
        (Better::Lower, true) | (Better::Higher, false) => Change::Worse,
    }
}

/// A part, with its sign, in percent.
pub(crate) fn signed_percent(part: f64) -> String {
    let percent = (part * 1e3).round() / 10.0;
    let sign = match percent {
        percent if percent < 0.0 => "−",
        percent if percent > 0.0 => "+",
        _ => "±",
    };
    format!("{sign}{} %", tick(percent.abs()))
}

impl Row {
    /// Both values, the change, the seconds' interval and the judgement, for people.
    pub(crate) fn told(&self) -> [String; 5] {
        let show = |value: &Known<f64>| match value {
            Known::Yes(value) => self.figure.unit.show(*value),
            Known::No { .. } => "–".to_owned(),
        };
        let change = self.relative.map(signed_percent);
        let seconds = self.by_seconds.map(|interval| {
            let ends = [interval.low, interval.high].map(signed_percent);
            format!("{} … {}", ends[0], ends[1])
        });
        [
            show(&self.a),
            show(&self.b),
            change.unwrap_or_default(),
            seconds.unwrap_or_default(),
            self.change.told().to_owned(),
        ]
    }
}

/// What the columns of [`Row::told`] are.
pub(crate) const COLUMNS: [&str; 5] = ["a", "b", "change", "by seconds, 99 %", ""];

/// What a comparison can and cannot say.
pub(crate) const EXPLANATION: &str = "Flags tell a change from the noise within these two runs, \
    where their seconds tell of the figure. Runs differ from each other by more than that: to \
    judge a change, repeat both in turn (ab).";

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a  {}\nb  {}\n", self.a, self.b)?;
        for caveat in &self.caveats {
            writeln!(f, "Beware: {caveat}.")?;
        }
        let mut lines = vec![(["", ""], COLUMNS.map(str::to_owned))];
        let mut group = "";
        for row in &self.rows {
            let shown = if row.figure.group == group {
                ""
            } else {
                row.figure.group
            };
            group = row.figure.group;
            lines.push(([shown, row.figure.label], row.told()));
        }
        let width = |text: &str| text.chars().count();
        let widths = [0, 1, 2, 3, 4].map(|column: usize| {
            let cells = lines.iter().filter_map(|(_, cells)| cells.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or_default()
        });
        let labels = [0, 1].map(|column: usize| {
            let cells = lines.iter().filter_map(|(labels, _)| labels.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or_default()
        });
        for ([group, label], [a, b, change, seconds, told]) in &lines {
            let line = format!(
                "{group:<0$}  {label:<1$}  {a:>2$}  {b:>3$}  {change:>4$}  {seconds:>5$}  {told}",
                labels[0], labels[1], widths[0], widths[1], widths[2], widths[3],
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "\n{EXPLANATION}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn change(comparison: &Comparison, name: &str) -> Change {
        let row = comparison.rows.iter().find(|row| row.figure.name == name);
        row.unwrap().change
    }

    #[test]
    fn equal_runs_differ_by_nothing() {
        let report = sample::report();
        let comparison = Comparison::of(&report, &report, false).unwrap();
        assert_eq!(change(&comparison, "p99"), Change::Noise);
        assert_eq!(
            change(&comparison, "freezes"),
            Change::Unsure,
            "no second tells"
        );
        assert!(
            comparison
                .rows
                .iter()
                .all(|row| row.relative.is_none_or(|part| part == 0.0))
        );
        assert!(comparison.caveats.is_empty());
    }

    #[test]
    fn what_is_beyond_noise_is_flagged_with_its_direction() {
        let (fast, slow) = (sample::report(), sample::slower(1.5));
        let worse = Comparison::of(&fast, &slow, false).unwrap();
        assert_eq!(change(&worse, "p99"), Change::Worse);
        assert_eq!(change(&worse, "cpu"), Change::Noise);
        let better = Comparison::of(&slow, &fast, false).unwrap();
        assert_eq!(change(&better, "p50"), Change::Better);
        // A hundredth is well within what seconds differ by.
        let alike = Comparison::of(&fast, &sample::slower(1.01), false).unwrap();
        assert_eq!(change(&alike, "p99"), Change::Noise);
        let text = worse.to_string();
        let line = text
            .lines()
            .find(|line| line.contains("video latency, p50"))
            .unwrap();
        assert!(line.contains("+50 %") && line.ends_with("worse"), "{text}");
    }

    #[test]
    fn other_scenarios_and_void_runs_are_refused_unless_forced() {
        let report = sample::report();
        let mut other = sample::report();
        other.run.scenario = "gallery".to_owned();
        other.run.settings.insert("seed".to_owned(), 3.into());
        other.run.settings.insert("publishers".to_owned(), 9.into());
        other.verdict = Verdict::Void;
        let refused = Comparison::of(&report, &other, false)
            .unwrap_err()
            .to_string();
        for part in [
            "broadcast, the other gallery",
            "publishers, seed",
            "second is void",
            "--force",
        ] {
            assert!(refused.contains(part), "{part} in {refused}");
        }
        let forced = Comparison::of(&report, &other, true).unwrap();
        assert_eq!(forced.caveats.len(), 3);
    }

    #[test]
    fn other_circumstances_are_told() {
        let report = sample::report();
        let mut other = sample::report();
        other.run.machine.cores = 64;
        other.run.build_profile = BuildProfile::Debug;
        other.verdict = Verdict::Failed;
        let comparison = Comparison::of(&report, &other, false).unwrap();
        assert_eq!(comparison.caveats.len(), 3, "{:?}", comparison.caveats);
    }

    #[test]
    fn percents_have_a_sign_and_no_more_digits_than_count() {
        for (part, text) in [
            (0.1, "+10 %"),
            (-0.0312, "−3.1 %"),
            (0.0, "±0 %"),
            (4.0, "+400 %"),
        ] {
            assert_eq!(signed_percent(part), text);
        }
    }
}
