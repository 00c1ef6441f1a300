//! CPU that one request and one job cost, with more instances and more partitions.

use std::time::Duration;

use tidegate_testkit::poll_until;

use crate::proof::{ProofReport, Size};
use crate::traffic::{Stage, Traffic, TrafficOptions};
use crate::{Check, Topology, TopologyOptions};

const INSTANCES: &[usize] = &[1, 2, 3];
const PARTITIONS: &[usize] = &[1, 2, 4];
/// Seconds of warm-up and of measuring.
const WARM_UP: f64 = 10.0;
const MEASURED: f64 = 60.0;
/// Jobs of each run at full size, and most of one request.
const JOBS: f64 = 20_000.0;
const AT_ONCE: usize = 1_000;
const JOBS_END: Duration = Duration::from_secs(600);

/// Measures on topologies of its own.
///
/// # Errors
///
/// A topology does not start, or its jobs do not end.
pub async fn cost(size: &Size) -> anyhow::Result<ProofReport> {
    let mut report = ProofReport::new("cost", size.users);
    report.did.push(
        "CPU as the system counts it: all APIs and all workers together, and the primaries of PostgreSQL and Redis"
            .into(),
    );
    for instances in INSTANCES {
        requests(&mut report, size, *instances).await?;
    }
    for partitions in PARTITIONS {
        jobs(&mut report, size, *partitions).await?;
    }
    Ok(report)
}

async fn requests(report: &mut ProofReport, size: &Size, apis: usize) -> anyhow::Result<()> {
    let options = TopologyOptions { apis, prometheus: false, ..size.topology(&[]) };
    let topology = Topology::start(&options).await?;
    let traffic =
        Traffic::prepare(&topology, TrafficOptions { users: size.users, ..TrafficOptions::default() }).await?;
    let users = size.users as f64;
    let stage = |seconds: f64| [Stage { name: "cost", seconds: seconds * size.scale, from: users, to: users }];
    traffic.run(&stage(WARM_UP)).await;
    let (from, before) = (traffic.now(), topology.usage().await);
    traffic.run(&stage(MEASURED)).await;
    let (to, after) = (traffic.now(), topology.usage().await);
    let samples = traffic.samples();
    let name = format!("{apis} instances");
    let stretch = report.stretch(name.clone(), &samples, from, to);
    let (count, failed) = (stretch.requests.count, stretch.requests.not_accepted());
    report.cost(name, "request", count, &before, &after);
    report.checks.push(Check::count(format!("{apis} instances: {failed} of {count} requests failed"), failed == 0));
    topology.stop().await
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
async fn jobs(report: &mut ProofReport, size: &Size, partitions: usize) -> anyhow::Result<()> {
    let settings = size.topology(&[("TIDEGATE_QUEUE_PARTITIONS", &partitions.to_string())]);
    let topology = Topology::start(&TopologyOptions { prometheus: false, ..settings }).await?;
    let options = TrafficOptions { users: size.users, ..TrafficOptions::default() };
    let traffic = Traffic::prepare(&topology, options).await?;
    let count = ((JOBS * size.scale) as usize).max(AT_ONCE);
    let before = topology.usage().await;
    for first in (0..count).step_by(AT_ONCE) {
        traffic.enqueue_many(first..(first + AT_ONCE).min(count)).await?;
    }
    let done = poll_until(JOBS_END, async || {
        let queue = traffic.queue("notification").await.ok()?;
        (queue["completed_total"].as_u64()? >= count as u64).then_some(())
    });
    done.await?;
    let after = topology.usage().await;
    report.cost(format!("{partitions} partitions"), "job", count, &before, &after);
    topology.stop().await
}
