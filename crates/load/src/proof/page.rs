//! The section of a proof in `docs/guides/scaling.md`.

use std::fmt::Write as _;

use super::report::{Cost, ProofReport, Stretch};

/// Width of prose in the documents.
const COLUMNS: usize = 100;

/// The section of a proof.
pub fn section(report: &ProofReport) -> String {
    let build = if report.release { "release build" } else { "debug build" };
    let mut text = format!("\n{}; {build}.\n\n", report.machine);
    for line in &report.did {
        item(&mut text, &format!("- {line}"));
    }
    if !report.stretches.is_empty() {
        text.push_str(
            "\n| stretch | seconds | requests | a second | P50 ms | P95 ms | P99 ms | max ms | not accepted |\n",
        );
        text.push_str("|---|---:|---:|---:|---:|---:|---:|---:|---:|\n");
        report.stretches.iter().for_each(|stretch| row(&mut text, stretch));
    }
    costs(&mut text, &report.costs);
    if !report.memory.is_empty() {
        text.push_str("\n| process | MiB at the start | MiB at the end |\n|---|---:|---:|\n");
        for (process, (before, after)) in &report.memory {
            let _ = writeln!(text, "| {process} | {before:.0} | {after:.0} |");
        }
    }
    text.push('\n');
    for check in &report.checks {
        item(&mut text, &check.line());
    }
    text.push('\n');
    text
}

/// Writes an item of a list, wrapped between words.
fn item(text: &mut String, line: &str) {
    let mut column = 0;
    for word in line.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > COLUMNS {
            text.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}

fn row(text: &mut String, stretch: &Stretch) {
    let requests = &stretch.requests;
    let _ = writeln!(
        text,
        "| {} | {:.0} | {} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {} |",
        stretch.name,
        stretch.seconds,
        requests.count,
        requests.per_second,
        requests.p50_ms,
        requests.p95_ms,
        requests.p99_ms,
        requests.max_ms,
        requests.not_accepted(),
    );
}

/// A row for each run, a column for each kind of process.
fn costs(text: &mut String, costs: &[Cost]) {
    let Some(first) = costs.first() else { return };
    let kinds: Vec<&String> = first.cpu_ms.keys().collect();
    text.push_str("\n| CPU ms | count |");
    kinds.iter().for_each(|kind| text.push_str(&format!(" {kind} |")));
    text.push_str("\n|---|---:|");
    kinds.iter().for_each(|_| text.push_str("---:|"));
    for cost in costs {
        let _ = write!(text, "\n| a {}, {} | {} |", cost.unit, cost.name, cost.count);
        for kind in &kinds {
            let _ = write!(text, " {:.3} |", cost.cpu_ms.get(*kind).copied().unwrap_or_default());
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Check;
    use crate::page::put;

    #[test]
    fn long_items_are_wrapped_and_lose_no_word() {
        let says = format!("{} and the last", "fourteen words ".repeat(14).trim_end());
        let mut report = ProofReport::new("spike", 40);
        report.checks.push(Check::count(&says, true));
        let section = section(&report);
        assert!(section.lines().all(|line| line.len() <= COLUMNS), "{section}");
        let item = section.split_once("- held: ").unwrap().1;
        assert_eq!(
            item.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join(" ").trim_end(),
            says
        );
        assert_eq!(item.trim_end().lines().count(), 3, "{section}");
    }

    #[test]
    fn a_section_is_replaced_between_its_marks_alone() {
        let mut report = ProofReport::new("spike", 40);
        report.checks.push(Check::count("no process died", true));
        let page = "# Scaling\n<!-- stages -->\nold\n<!-- /stages -->\n<!-- spike -->\nold\n<!-- /spike -->\nEnd.\n";
        let replaced = put(page, report.proof, &section(&report)).unwrap();
        assert!(
            replaced.starts_with("# Scaling\n<!-- stages -->\nold\n<!-- /stages -->\n<!-- spike -->\n"),
            "{replaced}"
        );
        assert!(replaced.contains("- held: no process died") && replaced.ends_with("<!-- /spike -->\nEnd.\n"));
        assert_eq!(put(&replaced, report.proof, &section(&report)).unwrap(), replaced);
        let error = put("# Scaling\n", report.proof, &section(&report)).unwrap_err().to_string();
        assert!(error.contains("<!-- spike -->"), "{error}");
    }
}
