//! The frame of a chart: its size, its axes, lines and areas in it. A chart is drawn twice,
//! for wide screens and for narrow ones, so that its letters keep their size.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::scale::Scale;

/// A chart's size and margins, in CSS pixels at its natural size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plot {
    /// Of the whole.
    pub(super) width: f64,
    /// Of the whole.
    pub(super) height: f64,
    /// Room for the labels of the vertical axis.
    pub(super) left: f64,
    /// Room above.
    pub(super) top: f64,
    /// Room for the labels of the horizontal axis.
    pub(super) bottom: f64,
}

const RIGHT: f64 = 12.0;

impl Plot {
    /// For wide screens.
    pub(super) const WIDE: Self = Self {
        width: 760.0,
        height: 260.0,
        left: 56.0,
        top: 12.0,
        bottom: 34.0,
    };
    /// For phones.
    pub(super) const NARROW: Self = Self {
        width: 340.0,
        height: 220.0,
        left: 48.0,
        top: 12.0,
        bottom: 34.0,
    };

    /// Draws a chart for both kinds of screens. The description is for those who cannot
    /// see it.
    pub(super) fn both(
        self,
        narrow: Self,
        title: &str,
        description: &str,
        draw: impl Fn(Self) -> Markup,
    ) -> Markup {
        html! {
            @for (plot, class) in [(self, "wide"), (narrow, "narrow")] {
                svg class=(class) role="img" viewBox=(format!("0 0 {} {}", plot.width, plot.height))
                    aria-label=(format!("{title}. {description}")) {
                    (draw(plot))
                }
            }
        }
    }

    /// From a place on the horizontal axis.
    pub(super) fn x(self, place: f64) -> f64 {
        self.left + place * (self.width - self.left - RIGHT)
    }

    /// From a place on the vertical axis, which begins at the bottom.
    pub(super) fn y(self, place: f64) -> f64 {
        self.height - self.bottom - place * (self.height - self.top - self.bottom)
    }

    /// How many ticks have room on the horizontal axis.
    pub(super) fn ticks(self) -> usize {
        (self.width / 75.0) as usize
    }

    /// Lines across, with their values at the left.
    pub(super) fn rows(self, scale: Scale, about: usize, show: impl Fn(f64) -> String) -> Markup {
        let right = self.x(1.0);
        html! {
            @for tick in scale.ticks(about) {
                @let y = at(self.y(scale.place(tick)));
                line class="grid" x1=(at(self.left)) x2=(at(right)) y1=(y) y2=(y) {}
                text class="tick end" x=(at(self.left - 6.0)) y=(y) dy="0.32em" { (show(tick)) }
            }
        }
    }

    /// Values along the bottom, and what they are.
    pub(super) fn columns(
        self,
        ticks: impl IntoIterator<Item = (f64, String)>,
        what: &str,
    ) -> Markup {
        let base = self.y(0.0);
        html! {
            line class="axis" x1=(at(self.left)) x2=(at(self.x(1.0))) y1=(at(base)) y2=(at(base)) {}
            @for (place, text) in ticks {
                @let x = at(self.x(place));
                line class="axis" x1=(x) x2=(x) y1=(at(base)) y2=(at(base + 4.0)) {}
                text class="tick middle" x=(x) y=(at(base + 16.0)) { (text) }
            }
            text class="tick end" x=(at(self.x(1.0))) y=(at(self.height - 4.0)) { (what) }
        }
    }

    /// The path through places; where one is missing, the line has a gap.
    pub(super) fn line(self, places: &[Option<(f64, f64)>]) -> String {
        let mut path = String::new();
        let mut drawing = false;
        for place in places {
            if let Some((x, y)) = place {
                let command = if drawing { 'L' } else { 'M' };
                let _ = write!(path, "{command}{} {}", at(self.x(*x)), at(self.y(*y)));
            }
            drawing = place.is_some();
        }
        path
    }
}

/// A length with as many digits as a screen shows.
pub(super) fn at(length: f64) -> String {
    let text = format!("{length:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// What the lines of a chart are. `classes` are those of the lines themselves.
pub(super) fn legend(entries: &[(&str, &str)]) -> Markup {
    html! {
        ul class="legend" {
            @for (class, text) in entries {
                li {
                    svg class="key" width="22" height="10" aria-hidden="true" {
                        path class=(class) d="M1 5H21" {}
                    }
                    (text)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_gaps_where_nothing_is_known() {
        let places = [Some((0.0, 0.0)), Some((0.5, 1.0)), None, Some((1.0, 0.0))];
        let path = Plot::WIDE.line(&places);
        assert_eq!(path, "M56 226L402 12M748 226");
    }

    #[test]
    fn lengths_have_no_needless_digits() {
        assert_eq!(
            (at(12.0), at(12.04), at(0.26)),
            ("12".into(), "12".into(), "0.3".into())
        );
    }
}
