//! CPU time, and how far repetitions of one measurement lie apart.

use std::{fmt, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// The CPU time that this thread has used.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Adds up the CPU time of many short sections, without what reading the clock costs.
#[derive(Debug)]
pub(crate) struct SectionClock {
    total: Duration,
    overhead: Duration,
}

impl SectionClock {
    pub(crate) fn new() -> Self {
        const ROUNDS: u32 = 20_000;
        let begin = thread_cpu();
        for _ in 1..ROUNDS {
            std::hint::black_box(thread_cpu());
        }
        Self {
            total: Duration::ZERO,
            overhead: (thread_cpu() - begin) / ROUNDS,
        }
    }

    /// Runs a section; says what it took.
    pub(crate) fn time<R>(&mut self, section: impl FnOnce() -> R) -> (R, Duration) {
        let begin = thread_cpu();
        let result = section();
        let took = (thread_cpu() - begin).saturating_sub(self.overhead);
        self.total += took;
        (result, took)
    }

    pub(crate) fn total(&self) -> Duration {
        self.total
    }
}

/// The least, the middle and the greatest of some repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// None without repetitions.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self {
            least: *values.first()?,
            median: *values.get(values.len() / 2)?,
            most: *values.last()?,
        })
    }

    /// Every value multiplied.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            least: self.least * factor,
            median: self.median * factor,
            most: self.most * factor,
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = if self.median < 100.0 { 2 } else { 0 };
        write!(
            f,
            "**{:.places$}** ({:.places$}–{:.places$})",
            self.median, self.least, self.most
        )
    }
}
