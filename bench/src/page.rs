//! A page of documentation with figures between markers.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// Replaces what is between the markers of this name; without a page, prints it.
pub(crate) fn put(page: Option<&Path>, name: &str, figures: &str) -> Result<()> {
    let Some(path) = page else {
        println!("{figures}");
        return Ok(());
    };
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    fs::write(path, replaced(&text, name, figures)?)?;
    Ok(())
}

fn replaced(text: &str, name: &str, figures: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- figures: {name} -->\n"),
        format!("<!-- end: {name} -->\n"),
    );
    let (head, rest) = text
        .split_once(&begin)
        .with_context(|| format!("no line {begin:?} in the page"))?;
    let (_, tail) = rest
        .split_once(&end)
        .with_context(|| format!("no line {end:?} in the page"))?;
    Ok(format!("{head}{begin}\n{}\n\n{end}{tail}", figures.trim()))
}

/// A table in Markdown.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<&str> = cells.collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(&mut head.iter().copied());
    text += &line(&mut head.iter().map(|_| "---"));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "a\n<!-- figures: x -->\nold\n<!-- end: x -->\nb\n";

    #[test]
    fn what_is_between_the_markers_is_replaced_and_nothing_else() {
        let once = replaced(PAGE, "x", "new\n").unwrap();
        assert_eq!(
            once,
            "a\n<!-- figures: x -->\n\nnew\n\n<!-- end: x -->\nb\n"
        );
        assert_eq!(replaced(&once, "x", "new").unwrap(), once);
    }

    #[test]
    fn a_page_without_the_markers_is_refused() {
        assert!(replaced(PAGE, "y", "new").is_err());
    }
}
