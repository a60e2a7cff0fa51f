//! How long each step into the call took one bot.

use std::time::{Duration, Instant};

/// When it began to connect, and how long from then to each step; none for those not
/// reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JoinTimes {
    /// It began to connect.
    pub began: Option<Instant>,
    /// The way to the server is open.
    pub connected: Option<Duration>,
    /// The server has let it into the room.
    pub admitted: Option<Duration>,
    /// It has the keys of the call.
    pub in_group: Option<Duration>,
    /// ICE of its first media connection is through.
    pub ice: Option<Duration>,
    /// DTLS of its first media connection is through.
    pub media: Option<Duration>,
    /// Its data channel is open.
    pub channel: Option<Duration>,
    /// It is in the call.
    pub in_call: Option<Duration>,
    /// It opened the first sound.
    pub first_sound: Option<Duration>,
    /// It opened the first picture that can be decoded by itself.
    pub first_picture: Option<Duration>,
}

impl JoinTimes {
    /// How many came into the call a second, from the first try to the last success; none
    /// without a success.
    pub fn rate<'a>(joins: impl IntoIterator<Item = &'a Self>) -> Option<f64> {
        let (mut first, mut last, mut count) = (None, None, 0);
        for join in joins {
            let Some(began) = join.began else { continue };
            first = Some(first.map_or(began, |first: Instant| first.min(began)));
            if let Some(took) = join.in_call {
                let ended = began + took;
                last = Some(last.map_or(ended, |last: Instant| last.max(ended)));
                count += 1;
            }
        }
        let seconds = (last? - first?).as_secs_f64();
        (seconds > 0.0).then(|| f64::from(count) / seconds)
    }

    /// Notes a step, unless it has been reached before.
    pub fn reach(step: &mut Option<Duration>, after: Duration) {
        step.get_or_insert(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_from_the_first_try_to_the_last_success() {
        let start = Instant::now();
        let join = |began: u64, took: Option<u64>| JoinTimes {
            began: Some(start + Duration::from_millis(began)),
            in_call: took.map(Duration::from_millis),
            ..JoinTimes::default()
        };
        let failed = join(0, None);
        let joins = [
            join(500, Some(400)),
            failed,
            join(700, Some(1_300)),
            join(600, Some(200)),
        ];
        assert_eq!(JoinTimes::rate(&joins), Some(1.5));
        assert_eq!(JoinTimes::rate([&failed]), None);
        assert_eq!(JoinTimes::rate([]), None);
    }
}
