//! A bottleneck that becomes narrower or wider in the middle of a run.

use std::{
    fmt::{self, Display},
    str::FromStr,
    time::Duration,
};

use super::units::{Bitrate, duration, duration_text};

/// As many as one line of text tells well.
const MOST: usize = 4;

/// From when on another rate passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStep {
    /// Since the beginning of the measured window.
    pub at: Duration,
    /// What passes from then on.
    pub rate: Bitrate,
}

/// Rates that follow one another, at most four, each later than the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateSteps([Option<RateStep>; MOST]);

/// Why a text is none. Says what it ought to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "up to four rates, each with its time, one later than the other, such as 500kbit@20s/2mbit@40s"
)]
pub struct StepsError;

impl RateSteps {
    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = RateStep> {
        self.0.into_iter().flatten()
    }

    /// The last step that was taken by then.
    pub fn taken(&self, since_window: Duration) -> Option<RateStep> {
        self.iter()
            .take_while(|step| step.at <= since_window)
            .last()
    }
}

impl FromStr for RateSteps {
    type Err = StepsError;

    fn from_str(text: &str) -> Result<Self, StepsError> {
        let mut steps = Self::default();
        let mut places = steps.0.iter_mut();
        let mut last = None;
        for part in text.split('/') {
            let (rate, at) = part.split_once('@').ok_or(StepsError)?;
            let step = RateStep {
                at: duration(at).map_err(|_| StepsError)?,
                rate: rate.parse().map_err(|_| StepsError)?,
            };
            if last.is_some_and(|last| step.at <= last) {
                return Err(StepsError);
            }
            last = Some(step.at);
            *places.next().ok_or(StepsError)? = Some(step);
        }
        Ok(steps)
    }
}

impl Display for RateSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self
            .iter()
            .map(|RateStep { at, rate }| format!("{rate}@{}", duration_text(at)));
        f.write_str(&steps.collect::<Vec<_>>().join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_at_their_time_and_written_as_they_were_read() {
        let text = "500kbit@20s/2mbit@40s";
        let steps: RateSteps = text.parse().unwrap();
        assert_eq!(steps.to_string(), text);
        let rates = [0, 19, 20, 39, 40, 900].map(|second| {
            let taken = steps.taken(Duration::from_secs(second));
            taken.map_or(0, |step| step.rate.get() / 1_000)
        });
        assert_eq!(rates, [0, 0, 500, 500, 2_000, 2_000]);
    }

    #[test]
    fn what_is_no_row_of_steps_is_refused() {
        for text in [
            "",
            "500kbit",
            "500kbit@",
            "@20s",
            "500kbit@20s/2mbit@20s",
            "500kbit@20s/",
            "1mbit@1s/2mbit@2s/3mbit@3s/4mbit@4s/5mbit@5s",
        ] {
            assert_eq!(text.parse::<RateSteps>(), Err(StepsError), "{text}");
        }
    }
}
