//! Every node restarted under load, and a canary with a broken version.

mod broken;

use std::time::Duration;

use anyhow::Context;
use tidegate_testkit::poll_until;
use tokio::time::sleep;

use self::broken::BrokenVersion;
use crate::proof::{ProofReport, Size};
use crate::traffic::{Stage, Traffic, TrafficOptions};
use crate::{Check, Topology};

/// Imports take two seconds, and a worker that ends has a fifth of a second for them.
const SETTINGS: &[(&str, &str)] = &[("TIDEGATE_IMPORT", "chunk=5, pause=500ms"), ("TIDEGATE_QUEUE_GRACE", "200ms")];
/// Seconds of load before the first restart, after the last one, and after the rollback of the
/// canary.
const CALM: f64 = 10.0;
/// How long a canary may take to become ready.
const CANARY_READY: Duration = Duration::from_secs(5);
/// Requests that the broken version answers before it is rolled back, and the time for them.
const CANARY_FAILURES: usize = 5;
const CANARY_FAILS: Duration = Duration::from_secs(60);
/// After that much time the proxy's old workers have no request left.
const SWITCHED: f64 = 1.0;
/// Longer than the restarts take; the traffic is ended before.
const AT_MOST: f64 = 3_600.0;

/// Restarts all nodes of a topology of its own under load, then tries two broken versions as
/// canaries.
///
/// # Errors
///
/// The topology does not start, a node does not come back, or the fleet's data cannot be read.
pub async fn rolling(size: &Size) -> anyhow::Result<ProofReport> {
    let mut report = ProofReport::new("rolling", size.users);
    report.did.push("SIGTERM, wait, start, wait for /readyz: each worker, then each API".into());
    report.did.push("imports pause, and workers have 0.2 s to end them: a SIGTERM meets jobs that run".into());
    let mut topology = Topology::start(&size.topology(SETTINGS)).await?;
    let traffic =
        Traffic::prepare(&topology, TrafficOptions { users: size.users, ..TrafficOptions::default() }).await?;
    let users = size.users as f64;
    let stages = [Stage { name: "rolling", seconds: AT_MOST, from: users, to: users }];
    let restarts = async {
        let done = restarts(&mut topology, &traffic, size.scale).await;
        traffic.finish();
        done
    };
    let ((), done) = tokio::join!(traffic.run(&stages), restarts);
    let Times { restarted, canary, rolled_back, broken, never_ready } = done?;

    let samples = traffic.samples();
    let rolling = report.stretch("rolling restart", &samples, 0.0, restarted);
    let (count, failed) = (rolling.requests.count, rolling.requests.not_accepted());
    let with_canary = report.stretch("canary", &samples, canary, rolled_back + SWITCHED);
    let failed_with_canary = with_canary.requests.not_accepted();
    let end = traffic.now();
    let after = report.stretch("rolled back", &samples, rolled_back + SWITCHED, end);
    let (count_after, failed_after) = (after.requests.count, after.requests.not_accepted());
    report
        .checks
        .push(Check::count(format!("{count} requests during the restarts, {failed} failed"), failed == 0 && count > 0));
    report.checks.push(Check::count(
        "a version that finds no database is never ready, so that the proxy is not led to it",
        never_ready,
    ));
    report.checks.push(Check::count(
        format!("a version that answers 503 failed {broken} requests, and {failed_with_canary} failed at the proxy"),
        broken == failed_with_canary && broken > 0,
    ));
    report.checks.push(Check::count(
        format!("{failed_after} of {count_after} requests failed after one command rolled it back"),
        failed_after == 0,
    ));
    report.judge(traffic.verify().await?, &traffic, true);
    topology.stop().await?;
    Ok(report)
}

/// Times of the steps.
struct Times {
    restarted: f64,
    canary: f64,
    rolled_back: f64,
    broken: usize,
    never_ready: bool,
}

async fn restarts(topology: &mut Topology, traffic: &Traffic, scale: f64) -> anyhow::Result<Times> {
    let calm = Duration::from_secs_f64((CALM * scale).max(2.0));
    sleep(calm).await;
    for node in topology.workers.iter_mut().chain(&mut topology.apis) {
        node.stop().await?;
        node.start_again()?;
        node.ready().await?;
    }
    sleep(calm).await;
    let restarted = traffic.now();
    let never_ready = !topology.try_broken_canary(CANARY_READY).await?;

    let broken = BrokenVersion::start().await?;
    let canary = traffic.now();
    topology.proxy.add_canary(broken.port()).await?;
    let failures = poll_until(CANARY_FAILS, async || (broken.answered() >= CANARY_FAILURES).then_some(()));
    failures.await.context("the canary received too few requests")?;
    topology.proxy.roll_back().await?;
    let rolled_back = traffic.now();
    sleep(calm).await;
    Ok(Times { restarted, canary, rolled_back, broken: broken.answered(), never_ready })
}
