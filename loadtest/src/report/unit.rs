//! The units of figures: how they are written, and read back.

use serde::Serialize;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A duration, in milliseconds.
    Milliseconds,
    /// A duration, in microseconds.
    Microseconds,
    /// A part of a whole, from 0 to 1.
    Ratio,
    /// How often in an hour.
    PerHour,
    /// How often in a second.
    PerSecond,
    /// Data in a second, in bits.
    BitsPerSecond,
    /// Data, in bytes.
    Bytes,
    /// Data in an hour, in bytes.
    BytesPerHour,
    /// CPU time by wall time.
    Cores,
    /// A number of things.
    Count,
}

impl Unit {
    /// The ways to write it and how much each is in the figure's own unit, that one first.
    const fn scales(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Milliseconds => &[
                ("ms", 1.0),
                ("s", 1e3),
                ("us", 1e-3),
                ("µs", 1e-3),
                ("min", 6e4),
            ],
            Self::Microseconds => &[("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("ns", 1e-3)],
            Self::Ratio => &[("", 1.0), ("%", 1e-2)],
            Self::PerHour => &[("/h", 1.0), ("/min", 60.0)],
            Self::PerSecond => &[("/s", 1.0), ("k/s", 1e3)],
            Self::BitsPerSecond => &[
                ("bit/s", 1.0),
                ("kbit/s", 1e3),
                ("Mbit/s", 1e6),
                ("Gbit/s", 1e9),
            ],
            Self::Bytes => &[
                ("B", 1.0),
                ("kB", 1e3),
                ("MB", 1e6),
                ("GB", 1e9),
                ("KiB", 1_024.0),
                ("MiB", 1_048_576.0),
                ("GiB", 1_073_741_824.0),
            ],
            Self::BytesPerHour => &[
                ("B/h", 1.0),
                ("kB/h", 1e3),
                ("MB/h", 1e6),
                ("GB/h", 1e9),
                ("MiB/h", 1_048_576.0),
            ],
            Self::Cores => &[("cores", 1.0), ("", 1.0)],
            Self::Count => &[("", 1.0)],
        }
    }

    /// The figure's own unit, as it is written behind a number.
    pub fn symbol(self) -> &'static str {
        self.scales().first().map_or("", |(symbol, _)| symbol)
    }

    /// All that may stand behind a number, for a message.
    pub fn symbols(self) -> String {
        let quoted = self.scales().iter().map(|(symbol, _)| match *symbol {
            "" => "nothing".to_owned(),
            symbol => format!("\"{symbol}\""),
        });
        quoted.collect::<Vec<_>>().join(", ")
    }

    /// How much one of `symbol` is in the figure's own unit.
    pub fn scale(self, symbol: &str) -> Option<f64> {
        let mut scales = self.scales().iter();
        Some(scales.find(|(known, _)| *known == symbol)?.1)
    }

    /// A value for people, with as many digits as tell something.
    pub fn show(self, value: f64) -> String {
        let size = value.abs();
        match self {
            Self::Milliseconds if size >= 1e4 => with(value / 1e3, " s"),
            Self::Milliseconds if size > 0.0 && size < 0.1 => with(value * 1e3, " µs"),
            Self::Milliseconds => with(value, " ms"),
            Self::Microseconds if size >= 1e4 => with(value / 1e3, " ms"),
            Self::Microseconds => with(value, " µs"),
            Self::Ratio => format!("{} %", percent(value * 100.0)),
            Self::PerHour => with(value, " /h"),
            Self::PerSecond => with(value, " /s"),
            Self::BitsPerSecond => scaled(value, 1e3, &[" bit/s", " kbit/s", " Mbit/s", " Gbit/s"]),
            Self::Bytes => scaled(value, 1_024.0, &[" B", " KiB", " MiB", " GiB"]),
            Self::BytesPerHour => scaled(value, 1_024.0, &[" B/h", " KiB/h", " MiB/h", " GiB/h"]),
            Self::Cores => with(value, " cores"),
            Self::Count => with(value, ""),
        }
    }
}

fn with(value: f64, unit: &str) -> String {
    format!("{}{unit}", digits(value))
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter().copied();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value.abs() < step {
            break;
        }
        (value, unit) = (value / step, larger);
    }
    with(value, unit)
}

/// Three digits that count, or a whole number with its thousands set apart.
pub(crate) fn digits(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000.0 {
        return thousands(value);
    }
    let places = match size {
        0.0 => 0,
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 3,
    };
    // A whole number needs no places.
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    format!("{value:.places$}")
}

/// A number of things, with its thousands set apart.
pub(crate) fn counted(count: u64) -> String {
    thousands(count as f64)
}

fn thousands(value: f64) -> String {
    let plain = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

/// 99.988 must not become 100, nor 0.004 nothing.
fn percent(value: f64) -> String {
    if value == 0.0 || value == 100.0 {
        return format!("{value:.0}");
    }
    let places = match (value.abs(), (100.0 - value).abs()) {
        (small, _) if small < 0.1 => 4,
        (_, missing) if missing < 0.1 => 4,
        (small, _) if small < 10.0 => 2,
        (_, missing) if missing < 1.0 => 2,
        _ => 1,
    };
    format!("{value:.places$}")
}

/// The same without zeros that say nothing, for axes.
pub(crate) fn tick(value: f64) -> String {
    let text = digits(value);
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_as_many_digits_as_tell_something() {
        for (unit, value, text) in [
            (Unit::Milliseconds, 2.3456, "2.35 ms"),
            (Unit::Milliseconds, 0.0421, "42.1 µs"),
            (Unit::Milliseconds, 0.0, "0 ms"),
            (Unit::Milliseconds, 1_234.5, "1,234 ms"),
            (Unit::Milliseconds, 61_000.0, "61 s"),
            (Unit::Ratio, 0.99988, "99.9880 %"),
            (Unit::Ratio, 1.0, "100 %"),
            (Unit::Ratio, 0.0, "0 %"),
            (Unit::Ratio, 0.02, "2.00 %"),
            (Unit::Ratio, 0.9369, "93.7 %"),
            (Unit::Ratio, 0.9951, "99.51 %"),
            (Unit::Ratio, 0.00004, "0.0040 %"),
            (Unit::BitsPerSecond, 20.13e6, "20.1 Mbit/s"),
            (Unit::Bytes, 1_572_864.0, "1.50 MiB"),
            (Unit::BytesPerHour, -2_048.0, "-2 KiB/h"),
            (Unit::Count, 1_234_567.0, "1,234,567"),
            (Unit::Cores, 0.0312, "0.031 cores"),
        ] {
            assert_eq!(unit.show(value), text);
        }
    }

    #[test]
    fn ticks_have_no_needless_zeros() {
        for (value, text) in [
            (0.1, "0.1"),
            (0.0, "0"),
            (2_000.0, "2,000"),
            (0.25, "0.25"),
            (20.0, "20"),
        ] {
            assert_eq!(tick(value), text);
        }
    }

    #[test]
    fn symbols_are_read_in_the_figures_own_unit() {
        assert_eq!(Unit::Milliseconds.scale("s"), Some(1e3));
        assert_eq!(Unit::Ratio.scale("%"), Some(1e-2));
        assert_eq!(Unit::Ratio.scale("ms"), None);
        assert!(Unit::Cores.symbols().contains("nothing"));
    }
}
