//! Does this load test see what happens? Short calls in which something known is done, and
//! what was measured beside what was injected.

use std::{
    fmt::{self, Display},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::yield_now};

use crate::{
    bot::publish::Sabotage,
    drive::{Live, server::ServerAddress},
    impair::{Paths, Rules, rules::RuleError},
    measure::wire::WireSummary,
    media::material::{Library, MaterialError},
    report::{Report, Verdict},
    run::{self, Plan, Stage},
    scenario::{
        flags::{Flags, FlagsError},
        group::Video,
    },
    target::{NoCall, Target},
};

use self::check::{Check, Findings};

pub mod check;
pub mod server;

/// How long everyone plays before a call is measured.
const WARMUP: Duration = Duration::from_secs(1);
/// How far from the injected delay the median may be: timers have ticks of 1 ms.
const DELAY_TOLERANCE_MS: f64 = 3.0;
/// How long all threads are held at a time to make the generator late, and the bound that
/// this breaks.
const STALL: Duration = Duration::from_millis(100);
const STALL_BOUND: Duration = Duration::from_millis(20);

/// Why a call cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is no call to meet in.
    #[error(transparent)]
    NoCall(#[from] NoCall),
    /// What is to be done is misspelt.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// There is no such call.
    #[error(transparent)]
    Scenario(#[from] FlagsError),
    /// There is nothing to play.
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// The calls to be made.
#[derive(Debug, Clone)]
pub struct Trials {
    /// On which server.
    pub server: ServerAddress,
    /// What the camera of each shows; generated when not given.
    pub video: Option<Video>,
    /// An Opus recording for the microphone of each (Ogg); generated when not given.
    pub audio: Option<PathBuf>,
    /// Bots that receive in each.
    pub subscribers: usize,
    /// How long each is measured.
    pub duration: Duration,
    /// How late sends and wake-ups may be before a call is void.
    pub lateness_bound: Duration,
    /// What chance is drawn from.
    pub seed: u64,
}

/// What is done in a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Deed {
    Nothing,
    /// To the paths of those who receive, on their way down.
    Impair(&'static str),
    SpoilFrames,
    /// The threads of this process are held up again and again.
    Stall,
}

impl Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("a call in which nothing is done"),
            Self::Impair(spec) => write!(f, "a call with {spec} on the way down"),
            Self::SpoilFrames => f.write_str("a call in which every frame is spoiled"),
            Self::Stall => f.write_str("a call whose bots are late"),
        }
    }
}

/// A call that was made.
struct Trial {
    report: Report,
    wire: WireSummary,
}

impl Trial {
    /// The median from sending to opening.
    fn median_ms(&self) -> Option<f64> {
        let latency = self.report.fanout.yes()?.video.yes()?;
        Some(latency.from_send.yes()?.times.p50_ms)
    }
}

impl Trials {
    /// Makes them all, one after the other. `on_trial` is told what comes next.
    pub async fn run(&self, mut on_trial: impl FnMut(String)) -> Result<Findings, TrialError> {
        let mut findings = Findings::default();
        let mut run = async |deed: Deed| {
            on_trial(deed.to_string());
            self.trial(deed).await
        };

        let clean = run(Deed::Nothing).await?;
        findings.note_load(&clean.report);
        findings.checks.push(clean_check(&clean));

        let delayed = run(Deed::Impair("delay=50ms")).await?;
        findings.note_load(&delayed.report);
        findings.checks.push(delay_check(&clean, &delayed));

        let lossy = run(Deed::Impair("loss=2%")).await?;
        findings.note_load(&lossy.report);
        let media = lossy.wire.media();
        findings
            .checks
            .push(Check::share("loss", 0.02, media.lost(), media.expected));

        let doubled = run(Deed::Impair("duplicate=5%")).await?;
        findings.note_load(&doubled.report);
        let media = doubled.wire.media();
        findings.checks.push(Check::share(
            "duplicates",
            0.05,
            media.duplicates,
            media.received,
        ));

        // Longer than two pictures are apart, so that each is overtaken in its own stream.
        let reordered = run(Deed::Impair("reorder=5%,behind=120ms")).await?;
        findings.note_load(&reordered.report);
        let media = reordered.wire.media();
        findings.checks.push(Check::share(
            "reordering",
            0.05,
            media.reordered,
            media.received,
        ));

        let spoiled = run(Deed::SpoilFrames).await?;
        findings.note_load(&spoiled.report);
        findings.checks.push(spoil_check(&spoiled));

        let late = run(Deed::Stall).await?;
        findings.checks.push(late_check(&late.report));
        Ok(findings)
    }

    async fn trial(&self, deed: Deed) -> Result<Trial, TrialError> {
        let rules = match deed {
            Deed::Impair(spec) => vec![format!("down@subscribers:{spec}").parse()?],
            _ => Vec::new(),
        };
        let scenario = Flags {
            built_in: "broadcast".to_owned(),
            publishers: Some(1),
            subscribers: Some(self.subscribers),
            camera_slots: Some(1),
            audio_slots: Some(1),
            seed: Some(self.seed),
            warmup: Some(WARMUP),
            duration: Some(self.duration),
            video: self.video.clone(),
            audio: self.audio.clone(),
            ..Flags::default()
        }
        .scenario()?;
        let library = Library::load(&scenario, false)?;
        let plan = Plan {
            target: Target::conclave(self.server.clone(), None, false)?,
            existing_call: false,
            server_processes: Vec::new(),
            scenario,
            library: Arc::new(library),
            name: "Bot".to_owned(),
            join_patience: Duration::from_secs(60),
            linger: Duration::ZERO,
            lateness_bound: match deed {
                Deed::Stall => STALL_BOUND,
                _ => self.lateness_bound,
            },
            count_syscalls: false,
            sabotage: match deed {
                Deed::SpoilFrames => Sabotage::SpoilFrames,
                _ => Sabotage::None,
            },
            paths: Paths::in_process(Rules(rules), self.seed),
            receive_offload: false,
            roams: Vec::new(),
        };
        let live = Arc::new(Live::default());
        let on_stage = |stage| {
            if let (Deed::Stall, Stage::Measuring(duration)) = (deed, stage) {
                stall(duration);
            }
        };
        let report = run::run(&plan, live.clone(), on_stage, std::future::pending()).await;
        let wire = live.wire.lock().map(|wire| *wire).unwrap_or_default();
        Ok(Trial { report, wire })
    }
}

/// Holds up all threads of this runtime again and again.
fn stall(duration: Duration) {
    let end = Instant::now() + duration;
    for _ in 0..Handle::current().metrics().num_workers() {
        tokio::spawn(async move {
            while Instant::now() < end {
                thread::sleep(STALL);
                yield_now().await;
            }
        });
    }
}

fn clean_check(clean: &Trial) -> Check {
    let media = clean.wire.media();
    let wrong = media.lost() + media.duplicates + media.reordered;
    Check {
        what: "clean path: packets lost, doubled or reordered".to_owned(),
        injected: "0".to_owned(),
        measured: format!("{wrong} of {}", media.received),
        error: said(&clean.report.failures, "none may be"),
        holds: wrong == 0 && media.received > 0 && clean.report.failures.is_empty(),
    }
}

fn delay_check(clean: &Trial, delayed: &Trial) -> Check {
    let medians = clean.median_ms().zip(delayed.median_ms());
    let added = medians.map(|(clean, delayed)| delayed - clean);
    let error = added.map(|added| added - 50.0);
    Check {
        what: "delay: median latency".to_owned(),
        injected: "+50 ms".to_owned(),
        measured: added.map_or("nothing".to_owned(), |added| format!("{added:+.2} ms")),
        error: error.map_or("–".to_owned(), |error| {
            format!("{error:+.2} ms; ±{DELAY_TOLERANCE_MS} ms may be")
        }),
        holds: error.is_some_and(|error| error.abs() <= DELAY_TOLERANCE_MS),
    }
}

fn spoil_check(spoiled: &Trial) -> Check {
    let sealed = spoiled.report.encryption.yes();
    let failures = sealed.map_or(0, |sealed| sealed.failures);
    let opened = sealed.map_or(0, |sealed| sealed.frames_opened_total);
    // Those that came before the bot had any key could not have been opened anyway.
    let early = sealed.map_or(0, |sealed| sealed.unopened.unknown_epoch_while_joining);
    let came = spoiled.wire.media().frames.saturating_sub(early);
    let verdict = spoiled.report.verdict;
    Check {
        what: "spoiled frames: failures to open".to_owned(),
        injected: came.to_string(),
        measured: format!("{failures}, and {opened} opened; {verdict:?}"),
        error: format!("{:+}; 0 may be", failures as i64 - came as i64),
        holds: came > 0 && failures == came && opened == 0 && verdict == Verdict::Failed,
    }
}

fn late_check(late: &Report) -> Check {
    let exit_code = late.verdict.exit_code();
    Check {
        what: "late generator: exit code".to_owned(),
        injected: format!("{} ms late", STALL.as_millis()),
        measured: format!("{exit_code} ({:?})", late.verdict),
        error: said(&late.generator.reasons, "3 (void) must be"),
        holds: exit_code == 3 && late.verdict == Verdict::Void,
    }
}

/// The first thing that a report says, or else this.
fn said(reasons: &[String], otherwise: &str) -> String {
    reasons
        .first()
        .cloned()
        .unwrap_or_else(|| otherwise.to_owned())
}
