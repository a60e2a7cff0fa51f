//! Progress bars, on a terminal only.

use std::{
    io::{IsTerminal as _, stderr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{task::JoinHandle, time};

use crate::{drive::Live, run::Stage};

const TICK: Duration = Duration::from_millis(100);

/// Shows what a run does.
pub struct Progress {
    live: Arc<Live>,
    shown: Option<(ProgressBar, JoinHandle<()>)>,
}

impl Progress {
    /// Shows nothing yet.
    pub fn new(live: Arc<Live>) -> Self {
        Self { live, shown: None }
    }

    /// Shows a stage in place of the one before.
    pub fn show(&mut self, stage: Stage) {
        self.clear();
        if !stderr().is_terminal() {
            return;
        }
        let (what, length, joins) = match stage {
            Stage::Joining(bots) => ("joining", bots as u64, true),
            Stage::WarmingUp(time) => ("warming up", time.as_millis() as u64, false),
            Stage::Measuring(time) => ("measuring", time.as_millis() as u64, false),
            Stage::Lingering(time) => ("staying", time.as_millis() as u64, false),
            Stage::Leaving => ("leaving", 0, true),
        };
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let template = if length == 0 {
            "{prefix:>12} {spinner}"
        } else {
            "{prefix:>12} [{bar:40}] {percent:>3} %  {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        let task = tokio::spawn(follow(bar.clone(), self.live.clone(), joins));
        self.shown = Some((bar, task));
    }

    /// Shows nothing any more.
    pub fn clear(&mut self) {
        if let Some((bar, task)) = self.shown.take() {
            task.abort();
            bar.finish_and_clear();
        }
    }
}

async fn follow(bar: ProgressBar, live: Arc<Live>, joins: bool) {
    let mut ticks = time::interval(TICK);
    let mut elapsed = Duration::ZERO;
    let mut before = live.opened.load(Ordering::Relaxed);
    loop {
        ticks.tick().await;
        elapsed += TICK;
        let joined = live.joined.load(Ordering::Relaxed);
        if joins {
            bar.set_position(joined);
            bar.set_message(format!("{joined} in the call"));
        } else {
            bar.set_position(elapsed.as_millis() as u64);
            let opened = live.opened.load(Ordering::Relaxed);
            let rate = (opened - before) * 1_000 / TICK.as_millis() as u64;
            bar.set_message(format!("{rate} frames opened a second"));
            before = opened;
        }
    }
}
