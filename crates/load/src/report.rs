//! What a run gave, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::driver::{Mode, Run};
use crate::scenario::{Invariant, Measured, Target};

/// All runs of one scenario.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: &'static str,
    /// Each run, with its verdicts.
    pub runs: Vec<Judged>,
    /// What must be true after all runs.
    pub invariants: Vec<Invariant>,
}

/// A run, and what its figures were held to.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// The run.
    #[serde(flatten)]
    pub run: Run,
    /// Figures to beat.
    pub targets: Vec<Target>,
    /// Targets that were missed, in words. Errors count too.
    pub missed: Vec<String>,
}

impl Judged {
    /// Holds a run to its targets.
    pub fn new(run: Run, measured: &Measured) -> Self {
        let missed = run.figures.iter().filter(|figures| figures.errors > 0).map(|figures| {
            format!(
                "{}: {} errors, such as {}",
                figures.operation,
                figures.errors,
                figures.error.as_deref().unwrap_or_default()
            )
        });
        let mut missed: Vec<String> = missed.collect();
        for target in &measured.targets {
            let Some(figures) = run.figures.iter().find(|figures| figures.operation == target.operation) else {
                missed.push(format!("{}: never answered", target.operation));
                continue;
            };
            let highest = [
                ("mean", figures.mean_ms, target.mean_ms),
                ("P95", figures.p95_ms, target.p95_ms),
                ("P99", figures.p99_ms, target.p99_ms),
            ];
            for (name, found, bound) in highest {
                if let Some(bound) = bound.filter(|bound| found > *bound) {
                    missed.push(format!("{}: {name} {found:.2} ms, above {bound} ms", target.operation));
                }
            }
            if let Some(bound) = target.per_second.filter(|bound| figures.per_second < *bound) {
                let found = figures.per_second;
                missed.push(format!("{}: {found:.0} a second, below {bound}", target.operation));
            }
        }
        Self { run, targets: measured.targets.clone(), missed }
    }
}

impl Report {
    /// Whether every invariant held and every target was met.
    pub fn has_passed(&self) -> bool {
        self.invariants.iter().all(|invariant| invariant.held) && self.runs.iter().all(|run| run.missed.is_empty())
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n", self.scenario);
        for judged in &self.runs {
            let _ = writeln!(text, "\n{}, {:.1} s", describe(judged.run.mode), judged.run.seconds);
            let _ = writeln!(
                text,
                "  {:<16} {:>9} {:>10} {:>9} {:>9} {:>9} {:>9} {:>7}  reference",
                "operation", "count", "per second", "mean ms", "P95 ms", "P99 ms", "max ms", "errors"
            );
            for figures in &judged.run.figures {
                let target = judged.targets.iter().find(|target| target.operation == figures.operation);
                let _ = writeln!(
                    text,
                    "  {:<16} {:>9} {:>10.0} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>7}  {}",
                    figures.operation,
                    figures.count,
                    figures.per_second,
                    figures.mean_ms,
                    figures.p95_ms,
                    figures.p99_ms,
                    figures.max_ms,
                    figures.errors,
                    target.map_or("", |target| target.reference),
                );
            }
            for missed in &judged.missed {
                let _ = writeln!(text, "  MISSED  {missed}");
            }
        }
        text.push('\n');
        for invariant in &self.invariants {
            let _ = writeln!(text, "{}  {}", if invariant.held { "held   " } else { "BROKEN " }, invariant.says);
        }
        text
    }
}

/// A mode in words.
pub fn describe(mode: Mode) -> String {
    match mode {
        Mode::Open { rate } => format!("{rate} requests a second"),
        Mode::Closed { users } => format!("{users} users, closed loop"),
        Mode::AtOnce { users } => format!("{users} users at once"),
    }
}
