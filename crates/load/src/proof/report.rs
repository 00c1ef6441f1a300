//! Result of a proof, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::Check;
use crate::topology::Usage;
use crate::traffic::{Class, Sample, Summary, THINK_SECONDS, Traffic, Verdict};

/// All that one proof gave.
#[derive(Debug, Serialize)]
pub struct ProofReport {
    /// Its name.
    pub proof: &'static str,
    /// Processor and cores of the machine that carried everything.
    pub machine: String,
    /// Whether the programs were optimized.
    pub release: bool,
    /// Description of the run.
    pub did: Vec<String>,
    /// Stretches of time with their figures.
    pub stretches: Vec<Stretch>,
    /// CPU by process.
    pub costs: Vec<Cost>,
    /// Resident memory in MiB by process: at the begin and at the end of the proof.
    pub memory: BTreeMap<String, (f64, f64)>,
    /// Content of the fleet at the end.
    pub verdict: Option<Verdict>,
    /// Answers other than 2xx and 3xx, by kind.
    pub failures: BTreeMap<String, u64>,
    /// Conditions that must hold.
    pub checks: Vec<Check>,
}

/// Figures of a stretch of time.
#[derive(Debug, Serialize)]
pub struct Stretch {
    /// Its name.
    pub name: String,
    /// Its length in seconds.
    pub seconds: f64,
    /// All requests, without opened streams and events.
    pub requests: Summary,
    /// Figures by class.
    pub classes: BTreeMap<Class, Summary>,
}

/// CPU of a stretch.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// Name of the run.
    pub name: String,
    /// The counted unit: `request` or `job`.
    pub unit: &'static str,
    /// How many there were.
    pub count: usize,
    /// CPU milliseconds for each, by kind of process: `api`, `worker`, `nginx`, `postgres`,
    /// `redis`, `driver`.
    pub cpu_ms: BTreeMap<String, f64>,
}

impl ProofReport {
    /// An empty report.
    pub fn new(proof: &'static str, users: usize) -> Self {
        let think =
            format!("each of up to {users} users sends a request every {THINK_SECONDS} s on average, open loop");
        Self {
            proof,
            machine: machine(),
            release: cfg!(not(debug_assertions)),
            did: vec![
                think,
                "70 % reads, 24 % writes, 5 % jobs, 1 % imports of 20 lines; one event stream for ten users".into(),
            ],
            stretches: Vec::new(),
            costs: Vec::new(),
            memory: BTreeMap::new(),
            verdict: None,
            failures: BTreeMap::new(),
            checks: Vec::new(),
        }
    }

    /// Whether everything held.
    pub fn has_passed(&self) -> bool {
        self.checks.iter().all(|check| check.held)
    }

    /// Checks that did not hold and do not depend on how fast the machine is.
    pub fn broken_counts(&self) -> Vec<&str> {
        let broken = self.checks.iter().filter(|check| !check.held && !check.is_timing);
        broken.map(|check| check.says.as_str()).collect()
    }

    /// Adds the figures of the samples that were to be sent between these seconds.
    pub fn stretch(&mut self, name: impl Into<String>, samples: &[Sample], from: f64, to: f64) -> &Stretch {
        self.stretches.push(Stretch::of(name.into(), samples, from, to));
        &self.stretches[self.stretches.len() - 1]
    }

    /// Adds the verdict on the content of the fleet, and checks it. `burned`: whether a failed
    /// attempt is a fault.
    pub fn judge(&mut self, verdict: Verdict, traffic: &Traffic, burned: bool) {
        self.failures = traffic.examples();
        self.checks.push(Check::count(
            format!(
                "{} schedules, {} imports and {} jobs were acknowledged: {} lost, {} twice, {} stale, {} unfinished",
                verdict.schedules,
                verdict.imports,
                verdict.jobs,
                verdict.lost,
                verdict.duplicates,
                verdict.stale,
                verdict.unfinished
            ),
            verdict.is_whole() && verdict.schedules > 0 && verdict.jobs > 0,
        ));
        self.checks.push(Check::count(
            format!(
                "event streams brought {} notices, {} left out or twice; {} were opened again",
                verdict.streams.events, verdict.streams.gaps, verdict.streams.reopened
            ),
            verdict.streams.gaps == 0 && verdict.streams.events > 0,
        ));
        if burned {
            let says = format!("{} attempts burned; {} jobs were given out again", verdict.burned, verdict.redelivered);
            self.checks.push(Check::count(says, verdict.burned == 0));
        }
        self.verdict = Some(verdict);
    }

    /// Adds CPU by kind of process between two readings.
    pub fn cost(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        count: usize,
        before: &BTreeMap<String, Usage>,
        after: &BTreeMap<String, Usage>,
    ) {
        let mut cpu_ms: BTreeMap<String, f64> = BTreeMap::new();
        for (process, usage) in after {
            let Some(earlier) = before.get(process) else { continue };
            let kind = process.trim_end_matches(|digit: char| digit.is_ascii_digit());
            let spent = (usage.cpu_seconds - earlier.cpu_seconds) * 1_000.0;
            *cpu_ms.entry(kind.to_owned()).or_default() += spent / count.max(1) as f64;
        }
        self.costs.push(Cost { name: name.into(), unit, count, cpu_ms });
    }

    /// Notes the memory of each process at the begin and at the end.
    pub fn memory(&mut self, before: &BTreeMap<String, Usage>, after: &BTreeMap<String, Usage>) {
        let mib = |usage: &Usage| usage.rss_bytes as f64 / f64::from(1 << 20);
        let both = before.iter().filter_map(|(name, usage)| Some((name.clone(), (mib(usage), mib(after.get(name)?)))));
        self.memory = both.collect();
    }

    /// The report for people.
    pub fn table(&self) -> String {
        let mut text = format!("{} ({})\n", self.proof, self.machine);
        for line in &self.did {
            let _ = writeln!(text, "  {line}");
        }
        for stretch in &self.stretches {
            let _ = writeln!(
                text,
                "\n{}, {:.0} s\n  {:<10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}  not accepted",
                stretch.name, stretch.seconds, "", "count", "a second", "P50 ms", "P95 ms", "P99 ms", "max ms"
            );
            row(&mut text, "requests", &stretch.requests);
            for (class, summary) in &stretch.classes {
                row(&mut text, &format!("{class:?}").to_lowercase(), summary);
            }
        }
        for cost in &self.costs {
            let _ = write!(text, "\n{}: CPU ms a {} ({} of them):", cost.name, cost.unit, cost.count);
            for (kind, ms) in &cost.cpu_ms {
                let _ = write!(text, " {kind} {ms:.3}");
            }
        }
        if !self.memory.is_empty() {
            text.push_str("\nmemory in MiB:");
            for (name, (before, after)) in &self.memory {
                let _ = write!(text, " {name} {before:.0} → {after:.0},");
            }
        }
        text.push('\n');
        for (failure, count) in &self.failures {
            let _ = writeln!(text, "  {count} × {failure}");
        }
        for example in self.verdict.iter().flat_map(|verdict| &verdict.examples) {
            let _ = writeln!(text, "  {example}");
        }
        for check in &self.checks {
            let _ = writeln!(text, "{}", check.line());
        }
        text
    }
}

impl Stretch {
    fn of(name: String, samples: &[Sample], from: f64, to: f64) -> Self {
        let seconds = to - from;
        let within: Vec<&Sample> = samples.iter().filter(|sample| (from..to).contains(&f64::from(sample.at))).collect();
        let is_request = |sample: &&&Sample| ![Class::Stream, Class::Event].contains(&sample.class);
        let requests = Summary::of(within.iter().filter(is_request).copied(), seconds);
        let mut by_class: BTreeMap<Class, Vec<&Sample>> = BTreeMap::new();
        for sample in within {
            by_class.entry(sample.class).or_default().push(sample);
        }
        let classes = by_class.into_iter().map(|(class, samples)| (class, Summary::of(samples, seconds))).collect();
        Self { name, seconds, requests, classes }
    }
}

fn row(text: &mut String, name: &str, summary: &Summary) {
    let bad = summary.statuses.iter().filter(|(status, _)| !(200..400).contains(*status));
    let bad: Vec<_> = bad.map(|(status, count)| format!("{count} × {status}")).collect();
    let _ = writeln!(
        text,
        "  {name:<10} {:>8} {:>9.1} {:>9.2} {:>9.2} {:>9.2} {:>9.2}  {}",
        summary.count,
        summary.per_second,
        summary.p50_ms,
        summary.p95_ms,
        summary.p99_ms,
        summary.max_ms,
        bad.join(", ")
    );
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores, {}", model.map_or("unknown processor", |(_, name)| name))
}
