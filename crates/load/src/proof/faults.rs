//! Mixed load with one fault after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::proof::growth::Growth;
use crate::proof::{ProofReport, Size};
use crate::traffic::{Stage, Traffic, TrafficOptions};
use crate::{Check, Topology};

/// Seconds from one fault to the next at full size.
const PERIOD: f64 = 60.0;
/// How long Redis is stopped.
const SUSPENDED: Duration = Duration::from_secs(5);
/// Time between two readings of memory and descriptors.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Longer than a run takes; the traffic is ended before.
const AT_MOST: f64 = 86_400.0;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillApi,
    FullDisk,
    RestartPostgres,
    SuspendRedis,
    FailOverRedis,
    KillWorker,
}

const FAULTS: &[Fault] = &[
    Fault::KillApi,
    Fault::FullDisk,
    Fault::RestartPostgres,
    Fault::SuspendRedis,
    Fault::KillWorker,
    Fault::FailOverRedis,
];

/// Drives a topology of its own for `length`, with a fault each minute, or each sixth of a shorter
/// time. Clients send each write again, with its key, until it is acknowledged.
///
/// # Errors
///
/// The topology does not start, does not recover, or its data cannot be read.
pub async fn faults(size: &Size, length: Duration) -> anyhow::Result<ProofReport> {
    let users = size.users;
    let period = Duration::from_secs_f64((length.as_secs_f64() / FAULTS.len() as f64).min(PERIOD));
    let mut report = ProofReport::new("faults", users);
    report.did.push(format!("{} s, a fault every {:.0} s: {FAULTS:?}", length.as_secs(), period.as_secs_f64()));
    report.did.push("a write that is answered 429, 503 or not at all is sent again with its key".into());
    let mut topology = Topology::start(&size.topology(&[])).await?;
    let traffic =
        Traffic::prepare(&topology, TrafficOptions { users, repeats: true, ..TrafficOptions::default() }).await?;
    let before = topology.usage().await;
    let count = users as f64;
    let stages = [Stage { name: "faults", seconds: AT_MOST, from: count, to: count }];
    let inflicted = async {
        let done = inflict(&mut topology, &traffic, length, period).await;
        traffic.finish();
        done
    };
    let ((), done) = tokio::join!(traffic.run(&stages), inflicted);
    let Done { faults, full_disk, growth } = done?;

    let samples = traffic.samples();
    report.stretch("faults", &samples, 0.0, traffic.now());
    for (fault, from, to) in &faults {
        report.stretch(format!("{fault:?}"), &samples, *from, *to);
    }
    report.memory(&before, &topology.usage().await);
    let mut others: BTreeMap<u16, usize> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| !is_allowed(sample.status)) {
        *others.entry(sample.status).or_default() += 1;
    }
    report.checks.push(Check::count(format!("{} faults", faults.len()), faults.len() >= FAULTS.len()));
    report.checks.push(Check::count(
        format!("{} answers: 2xx, 4xx and 503 alone; others by status (0: none came): {others:?}", samples.len()),
        others.is_empty(),
    ));
    report.checks.push(Check::count(
        format!("uploads to a node with a full disk were answered {full_disk:?}"),
        !full_disk.is_empty() && full_disk.iter().all(|status| *status == 503),
    ));
    report.checks.extend(growth.checks(length));
    report.judge(traffic.verify().await?, &traffic, false);
    topology.stop().await?;
    Ok(report)
}

fn is_allowed(status: u16) -> bool {
    (200..500).contains(&status) || status == 503
}

/// The faults, and the observations.
#[derive(Default)]
struct Done {
    faults: Vec<(Fault, f64, f64)>,
    full_disk: Vec<u16>,
    growth: Growth,
}

async fn inflict(
    topology: &mut Topology,
    traffic: &Traffic,
    length: Duration,
    period: Duration,
) -> anyhow::Result<Done> {
    let began = Instant::now();
    let mut done = Done::default();
    // The last fault has a period of its own to pass.
    let mut next = began + period / 2;
    let mut round = 0;
    while next < began + length {
        observe(topology, &mut done.growth, began, next).await;
        let fault = FAULTS[round % FAULTS.len()];
        let from = traffic.now();
        let node = round / FAULTS.len();
        match fault {
            Fault::KillApi => {
                let api = node % topology.apis.len();
                topology.apis[api].kill9()?;
                topology.apis[api].start_again()?;
                topology.apis[api].ready().await?;
            }
            Fault::KillWorker => {
                let worker = node % topology.workers.len();
                topology.workers[worker].kill9()?;
                topology.workers[worker].start_again()?;
                topology.workers[worker].ready().await?;
            }
            Fault::FullDisk => {
                let api = (node + 1) % topology.apis.len();
                let api = &mut topology.apis[api];
                api.stop().await?;
                api.start_again_with_full_disk()?;
                api.ready().await?;
                sleep(period / 6).await;
                done.full_disk.push(traffic.import_at(api.port()).await);
                api.stop().await?;
                api.start_again()?;
                api.ready().await?;
            }
            Fault::RestartPostgres => topology.restart_postgres().await,
            Fault::SuspendRedis => topology.redis.suspend_primary(SUSPENDED).await?,
            Fault::FailOverRedis => topology.redis.fail_over().await?,
        }
        // Until the next one, the fleet must have recovered.
        next = (next + period).max(Instant::now() + period / 3);
        done.faults.push((fault, from, traffic.now() + period.as_secs_f64() / 3.0));
        round += 1;
    }
    observe(topology, &mut done.growth, began, began + length).await;
    Ok(done)
}

/// Waits until `end`, and reads all nodes meanwhile.
async fn observe(topology: &mut Topology, growth: &mut Growth, began: Instant, end: Instant) {
    loop {
        for node in topology.nodes() {
            if let (Some(pid), Some(usage)) = (node.pid(), node.usage()) {
                growth.record(pid, node.name(), began.elapsed(), usage);
            }
        }
        if Instant::now() >= end {
            return;
        }
        sleep_until(end.min(Instant::now() + READ_EVERY)).await;
    }
}
