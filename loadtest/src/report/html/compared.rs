//! The page of a comparison.

use maud::{Markup, html};

use super::page;
use crate::report::{
    Change, Comparison,
    compare::{COLUMNS, EXPLANATION, Row},
};

/// A page that stands by itself.
pub fn comparison(comparison: &Comparison) -> String {
    let of = |change: Change| {
        let rows = comparison
            .rows
            .iter()
            .filter(move |row| row.change == change);
        rows.count()
    };
    let (better, worse) = (of(Change::Better), of(Change::Worse));
    let judged = match (better, worse) {
        (0, 0) => "No figure differs by more than noise".to_owned(),
        _ => format!("{better} better, {worse} worse beyond noise"),
    };
    let class = match (better, worse) {
        (_, 1..) => "bad",
        (1.., 0) => "good",
        (0, 0) => "calm",
    };
    page(
        "Two runs compared",
        &html! {
            header {
                p class="brand" { "conclave-loadtest" }
                h1 { "Two runs compared" }
                p class=(format!("verdict {class}")) { (judged) }
                dl class="sides" {
                    dt { "a" } dd { (comparison.a) }
                    dt { "b" } dd { (comparison.b) }
                }
                @for caveat in &comparison.caveats { p class="failure" { "Beware: " (caveat) "." } }
            }
            section class="card" {
                p class="note" { (EXPLANATION) }
                div class="scroll" { table class="compared" {
                    thead { tr {
                        th { "figure" }
                        @for (index, head) in COLUMNS.iter().enumerate() { th class=(if index < 4 { "number" } else { "" }) { (head) } }
                        th class="wide-only" { "−50 %" span class="far" { "+50 %" } }
                    } }
                    @for rows in comparison.rows.chunk_by(|a, b| a.figure.group == b.figure.group) {
                        tbody {
                            @if let Some(first) = rows.first() { tr class="group" { th colspan="7" scope="rowgroup" { (first.figure.group) } } }
                            @for row in rows { (line(row)) }
                        }
                    }
                } }
            }
        },
    )
}

fn line(row: &Row) -> Markup {
    let told = row.told();
    let class = match row.change {
        Change::Better => "good",
        Change::Worse => "bad",
        Change::Other => "other",
        Change::Noise | Change::Unsure => "calm",
    };
    html! {
        tr {
            th scope="row" { (row.figure.label) }
            @for (index, cell) in told.iter().enumerate() {
                @if index < 4 { td class="number" { (cell) } }
                @else { td { @if !cell.is_empty() { span class=(format!("chip {class}")) { (cell) } } } }
            }
            td class="wide-only stretch" { (whisker(row, class)) }
        }
    }
}

/// The change, and its interval by the seconds, on an axis from -50 % to +50 %.
fn whisker(row: &Row, class: &str) -> Markup {
    let place = |part: f64| format!("{:.2}%", 50.0 + 92.0 * part.clamp(-0.5, 0.5));
    html! {
        svg class="bar" height="16" aria-hidden="true" {
            line class="axis" x1="50%" x2="50%" y1="0" y2="16" {}
            @if let Some(interval) = row.by_seconds {
                line class=(format!("{class} whisker")) x1=(place(interval.low)) x2=(place(interval.high)) y1="8" y2="8" {}
            }
            @if let Some(part) = row.relative {
                circle class=(format!("{class} solid")) cx=(place(part)) cy="8" r="4" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{html::tests::check, sample};

    #[test]
    fn a_comparison_is_a_whole_page_with_every_row() {
        let mut a = sample::report();
        a.run.scenario = "<script>alert(1)</script>".to_owned();
        let mut b = sample::slower(1.5);
        b.run.scenario.clone_from(&a.run.scenario);
        let compared = Comparison::of(&a, &b, false).unwrap();
        let page = comparison(&compared);
        check(&page);
        assert_eq!(
            page.matches("<tr><th scope=\"row\">").count(),
            compared.rows.len()
        );
        assert!(page.contains("0 better, 2 worse beyond noise"), "{page}");
    }
}
