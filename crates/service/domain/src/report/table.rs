//! A report as CSV: a row per line, with its section in the first cell.

use super::Report;
use crate::csv;
use crate::import::guarded;

/// Returns the whole file.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    csv::push_line(&mut text, ["section", "name"].into_iter().chain(report.measures.iter().copied()));
    text.push('\n');
    for section in &report.sections {
        for line in &section.lines {
            let name = guarded(&line.name);
            let figures: Vec<_> = line.figures.iter().map(ToString::to_string).collect();
            csv::push_line(&mut text, [section.of, &*name].into_iter().chain(figures.iter().map(String::as_str)));
            text.push('\n');
        }
    }
    text
}
