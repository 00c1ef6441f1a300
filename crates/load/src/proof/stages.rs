//! Load in stages: up to a fifth of the users, hold, up to all, hold, down.

use crate::proof::{ProofReport, Size};
use crate::traffic::{Class, Stage, Summary, Traffic, TrafficOptions};
use crate::{Check, Topology};

/// Highest P95 of ours, and that of the reference, in milliseconds.
const P95_MS: f64 = 50.0;
const REFERENCE_P95_MS: f64 = 500.0;

/// Drives the stages through a topology of its own.
///
/// # Errors
///
/// The topology does not start, or its data cannot be read.
pub async fn stages(size: &Size) -> anyhow::Result<ProofReport> {
    let users = size.users as f64;
    let few = users / 5.0;
    let stage = |name, seconds: f64, from, to| Stage { name, seconds: seconds * size.scale, from, to };
    let stages = [
        stage("ramp to a fifth", 60.0, 0.0, few),
        stage("hold a fifth", 180.0, few, few),
        stage("ramp to all", 120.0, few, users),
        stage("hold all", 300.0, users, users),
        stage("ramp to none", 60.0, users, 0.0),
    ];
    let mut report = ProofReport::new("stages", size.users);
    report.did.push(format!("stages of the reference, scaled by {}", size.scale));
    let topology = Topology::start(&size.topology(&[])).await?;
    let traffic =
        Traffic::prepare(&topology, TrafficOptions { users: size.users, ..TrafficOptions::default() }).await?;
    let before = topology.usage().await;
    let mut began = traffic.now();
    traffic.run(&stages).await;
    let after = topology.usage().await;

    let samples = traffic.samples();
    for stage in stages {
        report.stretch(stage.name, &samples, began, began + stage.seconds);
        began += stage.seconds;
    }
    let all = report.stretch("all stages", &samples, 0.0, traffic.now());
    let (count, failed, p95) = (all.requests.count, all.requests.not_accepted(), all.requests.p95_ms);
    let streams = all.classes.get(&Class::Stream).map_or(0, Summary::not_accepted);
    report.cost("stages", "request", count, &before, &after);
    report.memory(&before, &after);
    report.checks.push(Check::count(format!("{count} requests, {failed} errors"), failed == 0 && count > 0));
    report.checks.push(Check::count(format!("{streams} event streams were not opened"), streams == 0));
    report.checks.push(Check::timing(
        format!("P95 of all requests {p95:.1} ms, below {P95_MS} ms (reference: below {REFERENCE_P95_MS} ms)"),
        p95 < P95_MS,
    ));
    report.judge(traffic.verify().await?, &traffic, true);
    topology.stop().await?;
    Ok(report)
}
