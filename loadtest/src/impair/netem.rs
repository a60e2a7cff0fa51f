//! An impairment as the queueing disciplines that make Linux do the same: `netem` for
//! what happens to packets one by one, `tbf` for the bottleneck.

use super::{
    Impairment,
    spec::{Bottleneck, Delay, Reorder},
    steps::RateSteps,
};

/// More packets than any delay keeps under way.
const UNDER_WAY: usize = 100_000;
/// A full Ethernet frame with room for tags, in bytes: `tbf` drops what is longer than
/// its bucket.
const LONGEST_FRAME: u64 = 1_600;
/// How much may pass a bottleneck at once: so long at its rate.
const BUCKET: std::time::Duration = std::time::Duration::from_millis(1);

/// Why Linux cannot do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetemError {
    /// It holds packets back only instead of a delay, not after one.
    #[error(
        "netem cannot both delay packets and hold some back: leave out delay or reorder, or \
         use --impair, which impairs in process"
    )]
    DelayAndReorder,
    /// A discipline has one rate.
    #[error(
        "the kernel's limit has one rate: leave out then, or use --impair, which impairs in process"
    )]
    Steps,
}

/// The arguments of `tc` for one end of a link, without the device: one line for each
/// discipline, the outer one first.
pub fn disciplines(impairment: &Impairment) -> Result<Vec<String>, NetemError> {
    let mut lines = Vec::new();
    let netem = netem(impairment)?;
    if !netem.is_empty() {
        let netem = netem.join(" ");
        lines.push(format!("root handle 1: netem limit {UNDER_WAY} {netem}"));
    }
    if let Some(Bottleneck { rate, then, queue }) = impairment.bottleneck {
        if then != RateSteps::default() {
            return Err(NetemError::Steps);
        }
        let place = if lines.is_empty() {
            "root handle 2:"
        } else {
            "parent 1:1 handle 2:"
        };
        lines.push(format!(
            "{place} tbf rate {}bit burst {} latency {}us",
            rate.get(),
            rate.bytes_in(BUCKET).max(LONGEST_FRAME),
            queue.as_micros().max(1)
        ));
    }
    Ok(lines)
}

/// True if this needs `netem`, which not every kernel has.
pub fn needs_netem(impairment: &Impairment) -> bool {
    netem(impairment).is_ok_and(|netem| !netem.is_empty())
}

fn netem(impairment: &Impairment) -> Result<Vec<String>, NetemError> {
    let mut words = Vec::new();
    match (impairment.delay, impairment.reorder) {
        (Some(_), Some(_)) => return Err(NetemError::DelayAndReorder),
        (Some(Delay { mean, jitter }), None) => {
            words.push(format!("delay {}us", mean.as_micros()));
            if !jitter.is_zero() {
                words.push(format!("{}us", jitter.as_micros()));
            }
        }
        // What netem calls reordering is to send a packet on without the delay: so nearly
        // all are, and the others are held back.
        (None, Some(Reorder { share, behind })) => words.push(format!(
            "delay {}us reorder {}%",
            behind.as_micros(),
            100.0 - share.percent()
        )),
        (None, None) => {}
    }
    if let Some(loss) = &impairment.loss {
        words.push(match loss.turns() {
            None => format!("loss random {}", loss.share),
            Some((worsens, recovers)) => format!(
                "loss gemodel {:.6}% {:.6}%",
                worsens * 100.0,
                recovers * 100.0
            ),
        });
    }
    if !impairment.duplicate.is_never() {
        words.push(format!("duplicate {}", impairment.duplicate));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(spec: &str) -> Vec<String> {
        disciplines(&spec.parse().unwrap()).unwrap()
    }

    #[test]
    fn each_key_has_its_words() {
        for (spec, words) in [
            ("loss=2%", "loss random 2%"),
            ("loss=2%,burst=4", "loss gemodel 0.510204% 25.000000%"),
            ("delay=50ms", "delay 50000us"),
            ("delay=50ms,jitter=10ms", "delay 50000us 10000us"),
            ("reorder=1%,behind=5ms", "delay 5000us reorder 99%"),
            ("duplicate=0.5%", "duplicate 0.5%"),
            ("delay=5ms,loss=1%", "delay 5000us loss random 1%"),
        ] {
            let expected = format!("root handle 1: netem limit 100000 {words}");
            assert_eq!(lines(spec), [expected], "{spec}");
            assert!(needs_netem(&spec.parse().unwrap()));
        }
    }

    #[test]
    fn a_bottleneck_needs_no_netem_and_stands_behind_it() {
        let rate = "tbf rate 2000000bit burst 1600 latency 300000us";
        let spec = "rate=2mbit,queue=300ms";
        assert_eq!(lines(spec), [format!("root handle 2: {rate}")]);
        assert!(!needs_netem(&spec.parse().unwrap()));
        let both = lines("rate=2mbit,queue=300ms,delay=1ms");
        assert_eq!(both.len(), 2);
        assert_eq!(both[1], format!("parent 1:1 handle 2: {rate}"));
        let fast = lines("rate=1gbit,queue=10ms");
        assert!(fast[0].contains("burst 125000 "), "{fast:?}");
        assert!(lines("none").is_empty() && lines("blackout=1s@1s").is_empty());
    }

    #[test]
    fn what_netem_cannot_do_is_refused() {
        let spec = "delay=50ms,reorder=1%".parse().unwrap();
        assert_eq!(disciplines(&spec), Err(NetemError::DelayAndReorder));
        let spec = "rate=2mbit,then=1mbit@5s".parse().unwrap();
        assert_eq!(disciplines(&spec), Err(NetemError::Steps));
    }
}
