//! Queues with millions of jobs on Redis: as fast as small ones, thousands due at once, and moved
//! between nodes during work. `cargo xtask prove` runs it at full size, which takes about 4 GB of
//! memory.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stdout, reason = "a proof shows its figures")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use support::ack;
use support::redis::broker;
use tidegate_queue::{Ack, Broker, EnqueueOptions, Fetch, JobId, NewJob, RedisBroker, RedisOptions, Settled, WorkerId};
use tidegate_redis::Client;
use tidegate_testkit::redis::{Cluster, RedisServer};
use tidegate_testkit::{poll_until, scale};
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(60);
const PARTITIONS: u16 = 4;
const BATCH: u32 = 1_000;
const BIG: &str = "big";
const SMALL: &str = "small";

fn job(number: u32, options: EnqueueOptions) -> NewJob {
    let options = options.id(JobId::new(format!("job-{number:08}")).unwrap());
    NewJob::new("test", &json!({ "n": number }), options, 1_000).unwrap()
}

/// Enqueues jobs 0 to `count`.
async fn fill(broker: &Arc<RedisBroker>, queue: &'static str, count: u32) {
    let next = Arc::new(AtomicU32::new(0));
    let fillers = (0..4).map(|_| {
        let (broker, next) = (broker.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first >= count {
                    return;
                }
                let batch = first..(first + BATCH).min(count);
                let jobs = batch.map(|number| job(number, EnqueueOptions::new())).collect();
                broker.enqueue(queue, jobs).await.unwrap();
            }
        })
    });
    for filler in fillers.collect::<Vec<_>>() {
        filler.await.unwrap();
    }
}

/// A worker that settles its jobs whenever it fetches more.
struct Taker {
    queue: &'static str,
    worker: WorkerId,
    acks: Vec<Ack>,
    took: Vec<Duration>,
}

impl Taker {
    const SLOTS: usize = 50;

    fn new(queue: &'static str) -> Self {
        Self { queue, worker: WorkerId::generate(), acks: Vec::new(), took: Vec::new() }
    }

    async fn exchange(&mut self, broker: &RedisBroker) {
        let acks = std::mem::take(&mut self.acks);
        let fetch = Fetch { worker: self.worker.clone(), max: Self::SLOTS, lease: LONG };
        let begun = Instant::now();
        let (settled, leased) = broker.ack_and_fetch(self.queue, acks, fetch).await.unwrap();
        self.took.push(begun.elapsed());
        assert!(settled.iter().all(|settled| *settled == Settled::Now));
        assert_eq!(leased.len(), Self::SLOTS);
        self.acks = leased.iter().map(|job| ack(&job.token)).collect();
    }

    fn median(&mut self) -> Duration {
        self.took.sort_unstable();
        self.took[self.took.len() / 2]
    }
}

/// Alternates exchanges with both queues, so that other load on the machine affects both equally.
async fn compare(broker: &RedisBroker, exchanges: u32, jobs: u32) -> f64 {
    let (mut big, mut small) = (Taker::new(BIG), Taker::new(SMALL));
    let slots = u32::try_from(Taker::SLOTS).unwrap();
    for nth in 0..exchanges {
        if nth % 2 == 0 {
            big.exchange(broker).await;
            small.exchange(broker).await;
        } else {
            small.exchange(broker).await;
            big.exchange(broker).await;
        }
        let first = jobs + nth * slots;
        let more = (first..first + slots).map(|number| job(number, EnqueueOptions::new())).collect();
        broker.enqueue(SMALL, more).await.unwrap();
    }
    let (big, small) = (big.median(), small.median());
    let ratio = small.as_secs_f64() / big.as_secs_f64();
    println!("{slots} jobs settled and taken: {small:?} from 2,000 waiting, {big:?} from {jobs}: {ratio:.3} as fast");
    ratio
}

/// Jobs due at the same time, more than a script could name in one command.
async fn due_at_once(broker: &RedisBroker, queue: &str, count: u32) {
    let before = broker.counts(queue).await.unwrap();
    let due = broker.now().await.unwrap().after(Duration::from_secs(2));
    let jobs = (0..count).map(|number| {
        let options = EnqueueOptions::new().run_at(due).id(JobId::new(format!("due-{number}")).unwrap());
        NewJob::new("test", &json!(1), options, 1_000).unwrap()
    });
    broker.enqueue(queue, jobs.collect()).await.unwrap();
    assert_eq!(broker.counts(queue).await.unwrap().delayed, u64::from(count));
    let is_due = async || (broker.now().await.ok()? >= due).then_some(());
    poll_until(LONG, is_due).await.unwrap();
    let begun = Instant::now();
    let promoted = broker.promote(queue, 10_000).await.unwrap();
    println!("{count} jobs due at once made ready in {:?}", begun.elapsed());
    assert_eq!((promoted.moved, promoted.next_due), (count as usize, None));
    let after = broker.counts(queue).await.unwrap();
    assert_eq!((after.delayed, after.ready), (0, before.ready + u64::from(count)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_million_waiting_jobs_slow_nothing_down() {
    let jobs = u32::try_from(scale(200_000, 10_000_000)).unwrap();
    // The test measures operations on data in memory.
    let server = RedisServer::builder().set("appendonly", "no").start().await;
    let broker = Arc::new(broker(&server.url(), "t", RedisOptions::new().partitions(PARTITIONS)).await);
    fill(&broker, SMALL, 2_000).await;
    let begun = Instant::now();
    fill(&broker, BIG, jobs).await;
    let memory = server.cli(&["INFO", "memory"]).await;
    let memory = memory.lines().find(|line| line.starts_with("used_memory_human")).unwrap_or_default().to_owned();
    println!("{jobs} jobs in {PARTITIONS} partitions after {:?}; {memory}", begun.elapsed());
    assert_eq!(broker.counts(BIG).await.unwrap().ready, u64::from(jobs));

    let ratio = compare(&broker, u32::try_from(scale(200, 1_000)).unwrap(), jobs).await;
    // A short run on a busy machine is not a measurement. It only shows that the cost does not grow
    // with the queue.
    let least = if scale(0, 1) == 1 { 0.9 } else { 0.6 };
    assert!(ratio >= least, "{ratio} < {least}");
    for queue in [BIG, SMALL] {
        due_at_once(&broker, queue, 8_001).await;
    }
}

/// Observations of a client that worked all the time.
#[derive(Debug, Default)]
struct Seen {
    enqueued: u32,
    exchanges: u32,
    refusals: u32,
    done: u64,
    longest_gap: Duration,
}

/// Enqueues, fetches and settles until `stop` is set. Failed calls are repeated.
async fn work(broker: &RedisBroker, first: u32, stop: &AtomicBool) -> Seen {
    let (mut seen, worker) = (Seen::default(), WorkerId::generate());
    let mut acks: Vec<Ack> = Vec::new();
    let mut last = Instant::now();
    while !(stop.load(Ordering::Relaxed) && acks.is_empty()) {
        let is_ending = stop.load(Ordering::Relaxed);
        let new = (first + seen.enqueued..first + seen.enqueued + 8).map(|number| job(number, EnqueueOptions::new()));
        let max = if is_ending { 0 } else { 20 };
        let fetch = Fetch { worker: worker.clone(), max, lease: LONG };
        let (enqueued, exchanged) = tokio::join!(
            broker.enqueue(BIG, if is_ending { Vec::new() } else { new.collect() }),
            broker.ack_and_fetch(BIG, acks.clone(), fetch)
        );
        match enqueued {
            Ok(stored) => seen.enqueued += u32::try_from(stored.len()).unwrap(),
            Err(_) => seen.refusals += 1,
        }
        let Ok((settled, leased)) = exchanged else {
            seen.refusals += 1;
            continue;
        };
        seen.longest_gap = seen.longest_gap.max(last.elapsed());
        last = Instant::now();
        seen.exchanges += 1;
        let sent = acks.len();
        let answers = acks.into_iter().zip(settled);
        acks = answers.filter(|(_, settled)| *settled == Settled::Unanswered).map(|(ack, _)| ack).collect();
        seen.done += (sent - acks.len()) as u64;
        acks.extend(leased.iter().map(|job| ack(&job.token)));
    }
    seen
}

/// CPU time that a server has used.
async fn worked(server: &RedisServer) -> Duration {
    let info = server.cli(&["INFO", "cpu"]).await;
    let own = info.lines().filter_map(|line| line.trim().split_once(':'));
    let own = own.filter(|(name, _)| ["used_cpu_user", "used_cpu_sys"].contains(name));
    Duration::from_secs_f64(own.map(|(_, seconds)| seconds.parse::<f64>().unwrap()).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_moves_to_another_node_while_the_queue_works() {
    let jobs = u32::try_from(scale(20_000, 1_000_000)).unwrap() * u32::from(PARTITIONS);
    let mut cluster = Cluster::start().await;
    for node in cluster.nodes() {
        // Moving a long list blocks a node. The others must not take it for failed. This is the
        // server's default.
        node.cli(&["CONFIG", "SET", "cluster-node-timeout", "15000"]).await;
        node.cli(&["CONFIG", "SET", "appendonly", "no"]).await;
    }
    let broker = Arc::new(broker(&cluster.url(), "t", RedisOptions::new().partitions(PARTITIONS)).await);
    fill(&broker, BIG, jobs).await;
    let stop = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn({
        let (broker, stop) = (broker.clone(), stop.clone());
        async move { work(&broker, jobs, &stop).await }
    });

    let slot = Client::slot_of("t:{q:big:0}:meta");
    let from = cluster.primary_of(slot).await;
    let to = (from + 1) % 3;
    let first = broker.counts(BIG).await.unwrap().completed_total;
    let goes_on = async |from: u64| {
        let more = async || (broker.counts(BIG).await.ok()?.completed_total >= from + 200).then_some(());
        poll_until(LONG, more).await.unwrap();
    };
    goes_on(first).await;
    let mut before = [Duration::ZERO; 2];
    for (before, node) in before.iter_mut().zip([from, to]) {
        *before = worked(&cluster.nodes()[node]).await;
    }
    let begun = Instant::now();
    cluster.begin_migration(slot, to).await;
    let opened = begun.elapsed();
    cluster.migrate_keys(slot, from, to).await;
    let moved = begun.elapsed() - opened;
    cluster.finish_migration(slot, from, to).await;
    let took = begun.elapsed();
    let mut work = Duration::ZERO;
    for (before, node) in before.into_iter().zip([from, to]) {
        work += worked(&cluster.nodes()[node]).await - before;
    }
    let between = broker.counts(BIG).await.map_or(first, |counts| counts.completed_total);
    goes_on(between).await;
    assert_eq!(cluster.primary_of(slot).await, to);

    stop.store(true, Ordering::Relaxed);
    let seen = working.await.unwrap();
    let each = jobs / u32::from(PARTITIONS);
    println!(
        "a partition of {each} jobs moved in {took:?}, its keys in {moved:?}, {work:?} of the nodes' work; {seen:?}"
    );
    let counts = broker.counts(BIG).await.unwrap();
    assert_eq!((counts.leased, counts.done, counts.completed_total), (0, seen.done, seen.done));
    assert_eq!(counts.ready + counts.done, u64::from(jobs + seen.enqueued));
    assert_eq!((counts.dead, counts.reclaimed_total, counts.stale_acks_total), (0, 0, 0));
    // The nodes work one after the other. The limit assumes that nothing else uses the machine.
    assert!(work < Duration::from_secs(3), "{work:?}");
    assert!(seen.longest_gap < Duration::from_secs(5), "{seen:?}");
}
