//! Pages of figures, such as `docs/guides/scenarios.md`: a section for each scenario or proof.

use std::fmt::Write as _;

use anyhow::Context;

use crate::report::{Report, describe};
use crate::scenario::Target;

/// Replaces the lines between the two marks of that name.
///
/// # Errors
///
/// A mark is missing.
pub fn put(page: &str, name: &str, section: &str) -> anyhow::Result<String> {
    let [start, end] = ["", "/"].map(|slash| format!("<!-- {slash}{name} -->\n"));
    let (before, rest) = page.split_once(&start).with_context(|| format!("the page has no line `{}`", start.trim()))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("the page has no line `{}`", end.trim()))?;
    Ok(format!("{before}{start}{section}{end}{after}"))
}

/// The section of a scenario.
pub fn section(report: &Report) -> String {
    let mut section = String::new();
    for judged in &report.runs {
        let _ = writeln!(section, "\n{}, {:.1} s:\n", describe(judged.run.mode), judged.run.seconds);
        section.push_str("| operation | per second | mean | P95 | P99 | errors | target | reference |\n");
        section.push_str("|---|---:|---:|---:|---:|---:|---|---|\n");
        for figures in &judged.run.figures {
            let target = judged.target(figures);
            let _ = writeln!(
                section,
                "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {} | {} | {} |",
                figures.operation,
                figures.per_second,
                figures.mean_ms,
                figures.p95_ms,
                figures.p99_ms,
                figures.errors,
                target.map(bounds).unwrap_or_default(),
                target.map_or("", |target| target.reference),
            );
        }
        for missed in &judged.missed {
            let _ = writeln!(section, "\n**Missed:** {missed}.");
        }
    }
    for ratio in &report.ratios {
        let missed = if ratio.is_met() { "" } else { "**Missed:** " };
        let _ = writeln!(section, "\n{missed}{ratio}.");
    }
    section.push('\n');
    for invariant in &report.invariants {
        let _ = writeln!(section, "{}", invariant.line());
    }
    section.push('\n');
    section
}

/// A target in words.
fn bounds(target: &Target) -> String {
    let latencies = [("mean", target.mean_ms), ("P95", target.p95_ms), ("P99", target.p99_ms)];
    let mut bounds: Vec<String> =
        latencies.iter().filter_map(|(name, bound)| bound.map(|bound| format!("{name} ≤ {bound}"))).collect();
    bounds.extend(target.per_second.map(|bound| format!("≥ {bound}/s")));
    bounds.join(", ")
}
