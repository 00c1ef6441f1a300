//! Mixed load with one fault after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::proof::{ProofReport, Size};
use crate::topology::Usage;
use crate::traffic::{Stage, Traffic, TrafficOptions};
use crate::{Check, Topology};

/// Seconds from one fault to the next at full size.
const PERIOD: f64 = 60.0;
/// How long Redis is stopped.
const SUSPENDED: Duration = Duration::from_secs(5);
/// After so much time a process has what it needs; from then on it does not grow.
const SETTLED: Duration = Duration::from_secs(240);
/// Most growth of a settled process: a factor, and descriptors of a burst of connections.
const GROWTH: f64 = 1.25;
const DESCRIPTORS: u64 = 64;
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
/// The topology does not start, does not come back, or what it holds can't be read.
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
    let Done { faults, full_disk, growth, settled } = done?;

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
    report.checks.push(Check::timing(
        format!(
            "{} of {settled} processes that ran for {} s or longer have grown since then{}{}",
            growth.len(),
            SETTLED.as_secs(),
            if growth.is_empty() { "" } else { ": " },
            growth.join(", ")
        ),
        growth.is_empty(),
    ));
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
    growth: Vec<String>,
    settled: usize,
}

async fn inflict(
    topology: &mut Topology,
    traffic: &Traffic,
    length: Duration,
    period: Duration,
) -> anyhow::Result<Done> {
    let began = Instant::now();
    let mut done = Done::default();
    let mut memory = Memory::default();
    // The last fault has a period of its own to pass.
    let mut next = began + period / 2;
    let mut round = 0;
    while next < began + length {
        sleep_until(next).await;
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
        // Until the next one, the fleet is to find itself again.
        next = (next + period).max(Instant::now() + period / 3);
        done.faults.push((fault, from, traffic.now() + period.as_secs_f64() / 3.0));
        memory.look(topology);
        round += 1;
    }
    sleep_until(began + length).await;
    memory.look(topology);
    (done.settled, done.growth) = memory.growth();
    Ok(done)
}

/// Readings of each process, by its pid, from the time on at which it is settled.
#[derive(Default)]
struct Memory(BTreeMap<u32, (String, Instant, Option<Usage>, Usage)>);

impl Memory {
    fn look(&mut self, topology: &mut Topology) {
        for node in topology.nodes() {
            let (Some(pid), Some(usage)) = (node.pid(), node.usage()) else { continue };
            let entry = self.0.entry(pid);
            let (_, since, first, last) =
                entry.or_insert_with(|| (node.name().to_owned(), Instant::now(), None, usage));
            if since.elapsed() >= SETTLED {
                first.get_or_insert(usage);
            }
            *last = usage;
        }
    }

    /// How many processes were settled, and those of them that have grown since.
    fn growth(&self) -> (usize, Vec<String>) {
        let settled = self.0.values().filter_map(|(name, _, first, last)| Some((name, (*first)?, last)));
        let mut count = 0;
        let mut grown = Vec::new();
        for (name, first, last) in settled {
            count += 1;
            let is_larger = last.rss_bytes as f64 > GROWTH * first.rss_bytes as f64;
            if is_larger || last.descriptors > first.descriptors + DESCRIPTORS {
                let [first_mib, last_mib] = [first, *last].map(|usage| usage.rss_bytes >> 20);
                grown.push(format!(
                    "{name} {first_mib} → {last_mib} MiB and {} → {} descriptors",
                    first.descriptors, last.descriptors
                ));
            }
        }
        (count, grown)
    }
}
