//! The page `docs/scenarios.md`, made from reports.

use std::fmt::Write as _;

use crate::report::{Report, describe};
use crate::scenario::Target;

const HEAD: &str = "\
# Scenarios under load

Each scenario is one file of [examples](../examples/README.md). This page is made by

```
cargo xtask load all --json scenarios.json --page docs/scenarios.md
```

on two cores, with three processes of the example, the driver, PostgreSQL and Redis (append-only
file, `everysec`) on the same machine. A run at a fixed rate follows a
schedule, and a latency counts from the scheduled time, so a stall is not hidden. Latencies are in
milliseconds. The reference is the published result of a comparable system.
";

/// The page.
pub fn page(reports: &[Report]) -> String {
    let mut page = HEAD.to_owned();
    for report in reports {
        let _ = writeln!(page, "\n## `{}`", report.scenario);
        for judged in &report.runs {
            let _ = writeln!(page, "\n{}, {:.0} s:\n", describe(judged.run.mode), judged.run.seconds);
            page.push_str("| operation | per second | mean | P95 | P99 | errors | aim | reference |\n");
            page.push_str("|---|---:|---:|---:|---:|---:|---|---|\n");
            for figures in &judged.run.figures {
                let target = judged.targets.iter().find(|target| target.operation == figures.operation);
                let _ = writeln!(
                    page,
                    "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {} | {} | {} |",
                    figures.operation,
                    figures.per_second,
                    figures.mean_ms,
                    figures.p95_ms,
                    figures.p99_ms,
                    figures.errors,
                    target.map(aim).unwrap_or_default(),
                    target.map_or("", |target| target.reference),
                );
            }
            for missed in &judged.missed {
                let _ = writeln!(page, "\n**Missed:** {missed}.");
            }
        }
        page.push('\n');
        for invariant in &report.invariants {
            let _ = writeln!(page, "- {}: {}", if invariant.held { "held" } else { "**broken**" }, invariant.says);
        }
    }
    page
}

/// A target in words.
fn aim(target: &Target) -> String {
    let latencies = [("mean", target.mean_ms), ("P95", target.p95_ms), ("P99", target.p99_ms)];
    let mut bounds: Vec<String> =
        latencies.iter().filter_map(|(name, bound)| bound.map(|bound| format!("{name} ≤ {bound}"))).collect();
    bounds.extend(target.per_second.map(|bound| format!("≥ {bound}/s")));
    bounds.join(", ")
}
