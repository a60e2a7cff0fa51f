//! How a run goes, while it goes: a bar and a few lines, on a terminal only.

use std::{
    io::{IsTerminal as _, stderr},
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{sync::watch, task::JoinHandle, time};

use crate::{
    drive::Live,
    live::{Reading, Recent, Recently, Snapshot},
    measure::generator,
    report::{Unit, counted},
    run::Stage,
};

const TICK: Duration = Duration::from_millis(250);

/// Shows what a run does.
pub struct Progress {
    live: Arc<Live>,
    bound: Bound,
    shown: Option<Shown>,
}

struct Shown {
    stage: watch::Sender<Stage>,
    screen: MultiProgress,
    task: JoinHandle<()>,
}

/// What the load test itself must keep to.
#[derive(Debug, Clone, Copy)]
struct Bound {
    cores: f64,
    lateness: Duration,
}

impl Progress {
    /// Shows nothing yet. Frames sent later than `lateness` are warned of.
    pub fn new(live: Arc<Live>, lateness: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        Self {
            live,
            bound: Bound { cores, lateness },
            shown: None,
        }
    }

    /// Shows a stage in place of the one before. Has to be called within a tokio runtime.
    pub fn show(&mut self, stage: Stage) {
        if let Some(shown) = &self.shown {
            shown.stage.send_replace(stage);
        } else if stderr().is_terminal() {
            let (stage, stages) = watch::channel(stage);
            let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let view = View::new(screen.clone(), self.bound);
            let task = tokio::spawn(follow(view, stages, self.live.clone()));
            self.shown = Some(Shown {
                stage,
                screen,
                task,
            });
        }
    }

    /// Shows nothing any more.
    pub fn clear(&mut self) {
        if let Some(shown) = self.shown.take() {
            shown.task.abort();
            // Fails when the terminal is gone, and then nothing is to be cleared.
            let _ = shown.screen.clear();
        }
    }
}

impl Stage {
    /// What it is called, and how much of it there is: bots, or milliseconds.
    fn told(self) -> (&'static str, u64) {
        match self {
            Self::Joining(bots) => ("joining", bots as u64),
            Self::WarmingUp(time) => ("warming up", time.as_millis() as u64),
            Self::Measuring(time) => ("measuring", time.as_millis() as u64),
            Self::Lingering(time) => ("staying", time.as_millis() as u64),
            Self::Leaving => ("leaving", 0),
        }
    }
}

async fn follow(mut view: View, mut stages: watch::Receiver<Stage>, live: Arc<Live>) {
    let mut recent = Recent::default();
    let mut ticks = time::interval(TICK);
    let mut began = Instant::now();
    view.begin(*stages.borrow());
    loop {
        ticks.tick().await;
        let now = Instant::now();
        if stages.has_changed().unwrap_or_default() {
            began = now;
            view.begin(*stages.borrow_and_update());
        }
        let counts = live.counts.snapshot();
        recent.note(Reading {
            at: now,
            cpu: generator::cpu_time(),
            counts: counts.clone(),
        });
        view.advance(*stages.borrow(), &counts, now - began);
        view.tell(&counts, recent.read().as_ref());
    }
}

/// The bar and the lines.
struct View {
    screen: MultiProgress,
    bar: ProgressBar,
    lines: Vec<ProgressBar>,
    bound: Bound,
}

/// A line in one of our own templates, which are sound.
fn styled(line: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => line.with_style(style.progress_chars("━━─")),
        Err(_) => line,
    }
}

impl View {
    fn new(screen: MultiProgress, bound: Bound) -> Self {
        Self {
            bar: screen.add(ProgressBar::new(0)),
            screen,
            lines: Vec::new(),
            bound,
        }
    }

    fn begin(&mut self, stage: Stage) {
        let (name, length) = stage.told();
        let template = if length == 0 {
            "{prefix:>12.bold}  {spinner} {msg}"
        } else {
            "{prefix:>12.bold}  {bar:36.cyan/dim} {percent:>3} %  {msg}"
        };
        self.bar = styled(self.bar.clone(), template);
        self.bar.set_length(length);
        self.bar.set_prefix(name);
    }

    fn advance(&self, stage: Stage, counts: &Snapshot, elapsed: Duration) {
        match stage {
            Stage::Joining(bots) => {
                let tried = counts.joined + counts.failed;
                self.bar.set_position(tried);
                self.bar.set_message(format!("{tried} of {bots} bots"));
            }
            Stage::WarmingUp(time) | Stage::Measuring(time) | Stage::Lingering(time) => {
                self.bar.set_position(elapsed.min(time).as_millis() as u64);
                let left = time.saturating_sub(elapsed).as_secs_f64().ceil();
                self.bar.set_message(format!("{left:.0} s left"));
            }
            Stage::Leaving => {
                self.bar.tick();
                let left = counts.participants();
                self.bar.set_message(format!("{left} bots in the call"));
            }
        }
    }

    fn tell(&mut self, counts: &Snapshot, recently: Option<&Recently>) {
        let told = told(counts, recently, self.bound);
        while self.lines.len() < told.len() {
            let line = self.screen.add(ProgressBar::new(0));
            self.lines.push(styled(line, "{prefix:>12.dim}  {msg}"));
        }
        for line in self.lines.drain(told.len()..) {
            self.screen.remove(&line);
        }
        for (line, (label, text)) in self.lines.iter().zip(told) {
            line.set_prefix(label);
            line.set_message(text);
        }
    }
}

/// The lines below the bar: what, and how it is.
fn told(
    counts: &Snapshot,
    recently: Option<&Recently>,
    bound: Bound,
) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut bots = format!("{} in the call", counted(counts.participants()));
    if counts.failed > 0 {
        bots += &format!(", {} could not join", counted(counts.failed));
    }
    lines.push(("bots", bots));
    let Some(recently) = recently else {
        return lines;
    };
    let milliseconds = |time: Duration| Unit::Milliseconds.show(time.as_secs_f64() * 1e3);
    lines.push((
        "received",
        format!(
            "{} packets/s   {}   {} frames/s",
            counted(recently.packets_per_second.round() as u64),
            Unit::BitsPerSecond.show(recently.bits_per_second),
            counted(recently.frames_per_second.round() as u64),
        ),
    ));
    if let (Some(p50), Some(p99)) = (recently.latency_p50, recently.latency_p99) {
        let latency = format!("p50 {}   p99 {}", milliseconds(p50), milliseconds(p99));
        lines.push(("latency", latency));
    }
    let mut trouble = format!(
        "{} packets missing   {} frames failed to open",
        counted(counts.missing),
        counted(counts.failures())
    );
    if counts.without_key() > 0 {
        trouble += &format!("   {} came without a key", counted(counts.without_key()));
    }
    lines.push(("trouble", trouble));
    let mut own = format!("{:.2} of {} cores", recently.cpu_cores, bound.cores);
    if let Some(late) = recently.lateness_p99 {
        own += &format!("   frames sent late p99 {}", milliseconds(late));
    }
    lines.push(("load test", own));
    for warning in warnings(recently, bound) {
        lines.push(("WARNING", warning));
    }
    lines
}

/// What will make the run void if it goes on.
fn warnings(recently: &Recently, bound: Bound) -> Vec<String> {
    let mut warnings = Vec::new();
    let late = recently.lateness_p99.filter(|late| *late > bound.lateness);
    if late.is_some() {
        warnings.push(format!(
            "frames are sent later than the bound of {} ms: the load test is too slow",
            bound.lateness.as_millis()
        ));
    }
    if recently.cpu_cores > generator::MOST_OF_CORES * bound.cores {
        warnings.push("the load test uses nearly all cores itself".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound {
        cores: 2.0,
        lateness: Duration::from_millis(20),
    };

    fn calm() -> Recently {
        Recently {
            packets_per_second: 2_812.4,
            bits_per_second: 20.1e6,
            frames_per_second: 1_400.0,
            latency_p50: Some(Duration::from_micros(2_100)),
            latency_p99: Some(Duration::from_millis(9)),
            lateness_p99: Some(Duration::from_micros(400)),
            cpu_cores: 0.36,
        }
    }

    fn text(counts: &Snapshot, recently: Option<&Recently>) -> String {
        let lines = told(counts, recently, BOUND);
        let lines: Vec<_> = lines
            .iter()
            .map(|(label, text)| format!("{label}: {text}"))
            .collect();
        lines.join("\n")
    }

    #[test]
    fn a_calm_run_is_told_in_five_lines() {
        let counts = Snapshot {
            joined: 22,
            left: 1,
            missing: 3,
            ..Snapshot::default()
        };
        let expected = "bots: 21 in the call\n\
            received: 2,812 packets/s   20.1 Mbit/s   1,400 frames/s\n\
            latency: p50 2.10 ms   p99 9 ms\n\
            trouble: 3 packets missing   0 frames failed to open\n\
            load test: 0.36 of 2 cores   frames sent late p99 0.400 ms";
        assert_eq!(text(&counts, Some(&calm())), expected);
    }

    #[test]
    fn before_anything_is_received_only_bots_are_told_of() {
        let counts = Snapshot {
            joined: 1,
            failed: 2,
            ..Snapshot::default()
        };
        assert_eq!(text(&counts, None), "bots: 1 in the call, 2 could not join");
    }

    #[test]
    fn what_will_void_the_run_is_warned_of() {
        let late = Recently {
            lateness_p99: Some(Duration::from_millis(25)),
            ..calm()
        };
        assert!(text(&Snapshot::default(), Some(&late)).contains("WARNING: frames are sent later"));
        let busy = Recently {
            cpu_cores: 1.9,
            ..calm()
        };
        assert!(text(&Snapshot::default(), Some(&busy)).contains("nearly all cores"));
        assert!(!text(&Snapshot::default(), Some(&calm())).contains("WARNING"));
    }
}
