//! A hundred times the normal rate, for thirty seconds.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::proof::{ProofReport, Size};
use crate::traffic::{Group, Sample, Stage, Summary, THINK_SECONDS, Traffic, TrafficOptions};
use crate::{Check, Topology};

/// Two cores, shared by all processes and the driver, answer some hundred requests a second. With
/// one at a time in each of three APIs, accepted requests wait least. With 8, no more are accepted.
const SETTINGS: &[(&str, &str)] = &[("TIDEGATE_HTTP_CAPACITY", "in_flight=1")];
/// Seconds of warm-up, of normal traffic before the spike, of the spike and of normal traffic
/// after it.
const WARM_UP: f64 = 10.0;
const BEFORE: f64 = 60.0;
const SPIKE: f64 = 30.0;
const AFTER: f64 = 30.0;
/// Seconds after which normal requests take no longer than before.
const RECOVERY: f64 = 5.0;
const TIMES: f64 = 100.0;
/// Users of the crowd for each normal one.
const CROWD: usize = 5;
/// Most that accepted requests may slow down.
const SLOWER: f64 = 3.0;
/// A P95 of some dozens of requests differs from one stretch to the next by that much.
const NOISE: f64 = 1.5;
/// Most growth of a process's memory.
const GROWTH: f64 = 1.2;

/// Drives the spike into a topology of its own.
///
/// # Errors
///
/// The topology does not start, or its data cannot be read.
pub async fn spike(size: &Size) -> anyhow::Result<ProofReport> {
    let [warm_up, before, length, after] = [WARM_UP, BEFORE, SPIKE, AFTER].map(|seconds| seconds * size.scale);
    // Scaled, it is still long enough to be over the recovery.
    let after = after.max(RECOVERY + 5.0);
    let (normal, users) = (size.users as f64 / THINK_SECONDS, size.users as f64);
    let mut report = ProofReport::new("spike", size.users);
    report.did.push(format!(
        "{} users of a crowd, of tenants on the plan `premium`, send {} a second for {length:.0} s, {TIMES} times the \
         normal {normal} a second with them",
        size.users * CROWD,
        normal * (TIMES - 1.0)
    ));
    let mut topology = Topology::start(&size.topology(SETTINGS)).await?;
    let options = TrafficOptions { users: size.users, crowd: size.users * CROWD, ..TrafficOptions::default() };
    let traffic = Traffic::prepare(&topology, options).await?;
    let all = Stage { name: "all", seconds: warm_up + before + length + after, from: users, to: users };
    let began = traffic.now();
    let spike = async {
        tokio::time::sleep(Duration::from_secs_f64(warm_up + before)).await;
        let usage = topology.usage().await;
        let from = traffic.now();
        traffic.crowd(normal * (TIMES - 1.0), Duration::from_secs_f64(length)).await;
        (usage, from)
    };
    let stages = [all];
    let ((), (usage, from)) = tokio::join!(traffic.run(&stages), spike);
    let (calm, to) = (topology.usage().await, from + length);

    let samples = traffic.samples();
    let p95_before = report.stretch("normal", &samples, began + warm_up, from).requests.p95_ms;
    let during = report.stretch("spike", &samples, from, to);
    let (count, p95_during) = (during.requests.count, during.requests.p95_ms);
    let p95_after = report.stretch("5 s after", &samples, to + RECOVERY, to + after).requests.p95_ms;
    let of_normal =
        |sample: &&Sample| sample.group == Group::Normal && f64::from(sample.at) >= from && f64::from(sample.at) < to;
    let normal_users = Summary::of(samples.iter().filter(of_normal), length);
    let others: BTreeSet<u16> = samples
        .iter()
        .filter(|sample| !sample.is_accepted() && !sample.is_refusal())
        .map(|sample| sample.status)
        .collect();
    let dead: Vec<String> =
        topology.nodes().filter_map(|node| node.has_died().then(|| node.name().to_owned())).collect();
    report.did.push(format!(
        "normal users in the spike: {} requests, {} not accepted, P95 {:.1} ms",
        normal_users.count,
        normal_users.not_accepted(),
        normal_users.p95_ms
    ));
    report.memory(&usage, &calm);
    report.checks.push(Check::count(
        format!("{count} requests in the spike: 2xx, 429 and 503 alone; others: {others:?}"),
        others.is_empty() && count > 0,
    ));
    report.checks.push(Check::count(format!("processes that died: {dead:?}"), dead.is_empty()));
    report.checks.push(Check::timing(
        format!("accepted requests in the spike: P95 {p95_during:.1} ms, at most {SLOWER} × {p95_before:.1} ms"),
        p95_during <= SLOWER * p95_before,
    ));
    report.checks.push(Check::timing(
        format!("{RECOVERY} s after it: P95 {p95_after:.1} ms, normal is {p95_before:.1} ms"),
        p95_after <= NOISE * p95_before,
    ));
    let grown: Vec<_> =
        report.memory.iter().filter(|(name, (before, after))| is_ours(name) && *after > GROWTH * before).collect();
    report
        .checks
        .push(Check::timing(format!("memory of nodes above {GROWTH} × that before it: {grown:?}"), grown.is_empty()));
    report.judge(traffic.verify().await?, &traffic, true);
    topology.stop().await?;
    Ok(report)
}

fn is_ours(process: &str) -> bool {
    process.starts_with("api") || process.starts_with("worker")
}
