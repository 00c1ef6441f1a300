//! Result of a run, as a table and as JSON.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::driver::{Mode, Run};
use crate::scenario::{Measured, Ratio, Target};
use crate::{Check, Figures, Scenario};

/// All runs of one scenario.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: &'static str,
    /// Each run, with its verdicts.
    pub runs: Vec<Judged>,
    /// Comparisons of the runs.
    pub ratios: Vec<JudgedRatio>,
    /// Checks of what must be true after all runs.
    pub invariants: Vec<Check>,
}

/// A run, and the targets of its figures.
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

/// A ratio, and its target.
#[derive(Debug, Serialize)]
pub struct JudgedRatio {
    /// The bound.
    #[serde(flatten)]
    pub ratio: Ratio,
    /// The measured ratio.
    pub found: f64,
}

impl JudgedRatio {
    /// The ratio of these runs. `None` if they lack one of its operations.
    fn of(ratio: Ratio, runs: &[Judged]) -> Option<Self> {
        let per_second = |operation: &str| {
            let mut figures = runs.iter().flat_map(|judged| &judged.run.figures);
            figures.find(|figures| figures.operation == operation).map(|figures| figures.per_second)
        };
        let found = per_second(ratio.operation)? / per_second(ratio.to)?;
        Some(Self { ratio, found })
    }

    /// Whether it is as high as it should be.
    pub fn is_met(&self) -> bool {
        self.found >= self.ratio.at_least
    }
}

impl fmt::Display for JudgedRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ratio { operation, to, at_least } = self.ratio;
        write!(f, "{operation}: {:.2} times the throughput of {to}, target ≥ {at_least}", self.found)
    }
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

    /// The target of the operation that these are the figures of.
    pub fn target(&self, figures: &Figures) -> Option<&Target> {
        self.targets.iter().find(|target| target.operation == figures.operation)
    }
}

impl Report {
    /// A report of these runs, with the ratios of the scenario.
    pub fn new(scenario: &dyn Scenario, runs: Vec<Judged>, invariants: Vec<Check>) -> Self {
        let ratios = scenario.ratios().into_iter().filter_map(|ratio| JudgedRatio::of(ratio, &runs)).collect();
        Self { scenario: scenario.name(), runs, ratios, invariants }
    }

    /// Whether every invariant held and every target was met.
    pub fn has_passed(&self) -> bool {
        self.invariants.iter().all(|invariant| invariant.held)
            && self.ratios.iter().all(JudgedRatio::is_met)
            && self.runs.iter().all(|run| run.missed.is_empty())
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
                let target = judged.target(figures);
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
                    target.map_or("none", |target| target.reference),
                );
            }
            for missed in &judged.missed {
                let _ = writeln!(text, "  MISSED  {missed}");
            }
        }
        text.push('\n');
        for ratio in &self.ratios {
            let _ = writeln!(text, "  {}{ratio}", if ratio.is_met() { "" } else { "MISSED  " });
        }
        for invariant in &self.invariants {
            let _ = writeln!(text, "{}", invariant.line());
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Recorder;

    /// A run of ten seconds in which `operation` was answered that often.
    fn run(operation: &'static str, count: u64) -> Judged {
        let recorder = Recorder::default();
        for _ in 0..count {
            recorder.record(operation, Duration::from_millis(1), &Ok(()));
        }
        let (mode, figures) = (Mode::Closed { users: 1 }, recorder.figures(Duration::from_secs(10)));
        Judged::new(Run { mode, seconds: 10.0, figures }, &Measured { mode, seconds: 10, targets: Vec::new() })
    }

    #[test]
    fn a_ratio_compares_operations_of_two_runs_with_its_target() {
        let ratio = Ratio { operation: "batched", to: "single", at_least: 1.3 };
        let runs = [run("batched", 130), run("single", 100)];
        let met = JudgedRatio::of(ratio, &runs).unwrap();
        assert!(met.is_met(), "{met}");
        assert_eq!(met.to_string(), "batched: 1.30 times the throughput of single, target ≥ 1.3");
        assert!(!JudgedRatio::of(ratio, &[run("batched", 129), run("single", 100)]).unwrap().is_met());
        assert!(JudgedRatio::of(ratio, &runs[..1]).is_none());
    }
}
