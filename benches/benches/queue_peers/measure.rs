//! The measurements. Each empties the server, connects anew and takes one turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_benches::{Order, Stopwatch, Walk, time_of_day};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::gauge::{Gauge, Reading};
use crate::peer::{Noop, Peer, Who};
use crate::report::{Report, Row};

/// How much of each.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Turns of each measurement that takes seconds.
    pub(crate) rounds: usize,
    /// Turns of the measurements that wait for most of their time.
    pub(crate) slow_rounds: usize,
    /// Turns of the measurements that give the same result each time.
    pub(crate) steady_rounds: usize,
    /// Jobs of a worker that runs one at once.
    pub(crate) alone: usize,
    /// Jobs of a worker that runs several.
    pub(crate) many: usize,
    /// Jobs whose latency is taken.
    pub(crate) samples: usize,
    /// Over how long jobs are due.
    pub(crate) due: Duration,
    /// Jobs that wait.
    pub(crate) waiting: usize,
    /// How long an idle worker is watched.
    pub(crate) idle: Duration,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        slow_rounds: 3,
        steady_rounds: 1,
        alone: 5_000,
        many: 20_000,
        samples: 500,
        due: Duration::from_secs(10),
        waiting: 100_000,
        idle: Duration::from_secs(20),
    };
    /// Shows that it runs.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        slow_rounds: 1,
        steady_rounds: 1,
        alone: 200,
        many: 1_000,
        samples: 20,
        due: Duration::from_secs(1),
        waiting: 2_000,
        idle: Duration::from_secs(1),
    };
}

/// Bytes of JSON of most jobs.
const PAYLOAD: usize = 200;
const BATCH: usize = 1_000;
/// Tasks that enqueue one job after the other.
const TASKS: usize = 256;
/// Jobs at once of the worker that waits.
const IDLE_CONCURRENCY: usize = 10;
/// Longer than anything here takes that works.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause until the previous work has settled.
const REST: Duration = Duration::from_millis(200);

/// A turn of one measurement.
pub(crate) struct Turn<'a> {
    pub(crate) who: Who,
    pub(crate) url: &'a str,
    pub(crate) gauge: &'a Gauge,
    pub(crate) sizes: Sizes,
    pub(crate) report: &'a mut Report,
}

impl Turn<'_> {
    /// Jobs that wait already, from the worker's start until the last one is done.
    pub(crate) async fn process(&mut self, concurrency: usize) {
        let peer = self.open().await;
        let count = if concurrency == 1 { self.sizes.alone } else { self.sizes.many }.min(peer.most_waiting());
        fill(&*peer, count, PAYLOAD).await;
        sleep(REST).await;

        let (started, all) = (AtomicUsize::new(0), Arc::new(Notify::new()));
        let last = Arc::clone(&all);
        let on_start = Arc::new(move |_| {
            if started.fetch_add(1, Ordering::Relaxed) + 1 == count {
                last.notify_one();
            }
        });
        let before = self.gauge.read().await;
        let stopwatch = Stopwatch::start();
        let worker = peer.work(concurrency, on_start).await;
        timeout(PATIENCE, all.notified()).await.expect("every job started");
        timeout(PATIENCE, done(&*peer, count)).await.expect("every job was done");
        let elapsed = stopwatch.elapsed();
        let spent = self.gauge.read().await.since(before);
        worker.stop().await;
        self.add(Row::Process(concurrency), count as f64 / elapsed.as_secs_f64());
        self.add(Row::ProcessCommands(concurrency), spent.commands / count as f64);
        self.add(Row::ProcessScripts(concurrency), spent.scripts / count as f64);
        self.add_times(spent, count, Row::ProcessServer(concurrency), Row::ProcessClient(concurrency));
    }

    /// One batch after the other.
    pub(crate) async fn bulk(&mut self) {
        let peer = self.open().await;
        let jobs = Noop::many(self.sizes.many, PAYLOAD);
        let before = self.gauge.read().await;
        let stopwatch = Stopwatch::start();
        for batch in jobs.chunks(BATCH) {
            peer.enqueue_bulk(batch).await;
        }
        let elapsed = stopwatch.elapsed();
        let spent = self.gauge.read().await.since(before);
        self.add(Row::Bulk, jobs.len() as f64 / elapsed.as_secs_f64());
        self.add_times(spent, jobs.len(), Row::BulkServer, Row::BulkClient);
    }

    /// Many tasks at once, each of which enqueues one after the other.
    pub(crate) async fn single(&mut self) {
        let peer = self.open().await;
        let jobs = Noop::many(self.sizes.many, PAYLOAD);
        let before = self.gauge.read().await;
        let stopwatch = Stopwatch::start();
        let mut tasks = JoinSet::new();
        for share in jobs.chunks(jobs.len().div_ceil(TASKS)) {
            let (peer, share) = (Arc::clone(&peer), share.to_vec());
            tasks.spawn(async move {
                for job in &share {
                    peer.enqueue(job).await;
                }
            });
        }
        tasks.join_all().await;
        let elapsed = stopwatch.elapsed();
        let spent = self.gauge.read().await.since(before);
        self.add(Row::Single, jobs.len() as f64 / elapsed.as_secs_f64());
        self.add_times(spent, jobs.len(), Row::SingleServer, Row::SingleClient);
    }

    /// Time from the enqueue call until the handler starts, on an idle worker.
    pub(crate) async fn pick_up(&mut self) {
        let peer = self.open().await;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let clock = Arc::new(Stopwatch::start());
        let own = Arc::clone(&clock);
        let on_start = Arc::new(move |_| sender.send(own.elapsed()).expect("the receiver waits"));
        let worker = peer.work(IDLE_CONCURRENCY, on_start).await;
        let (order, mut latencies) = (Order::uniform(28), Vec::new());
        let mut gaps = order.walk(0);
        sleep(REST).await;
        for job in Noop::many(self.sizes.samples, PAYLOAD) {
            sleep(gap(&mut gaps)).await;
            let before = clock.elapsed();
            peer.enqueue(&job).await;
            let started = timeout(PATIENCE, receiver.recv()).await.expect("it started").expect("the worker lives");
            latencies.push(started.saturating_sub(before));
        }
        worker.stop().await;
        self.add_percentiles(latencies, Row::PickUp50, Row::PickUp99);
    }

    /// How long after its time a delayed job starts, on a worker that had nothing to do.
    pub(crate) async fn lateness(&mut self) {
        let peer = self.open().await;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let on_start = Arc::new(move |number| sender.send((number, time_of_day())).expect("the receiver waits"));
        let worker = peer.work(IDLE_CONCURRENCY, on_start).await;
        let steps = u32::try_from(self.sizes.due.as_millis()).expect("some seconds");
        let order = Order::uniform(steps);
        let mut walk = order.walk(1);
        // Whole milliseconds, the unit of ours and BullMQ. The first jobs are due when all are
        // enqueued.
        let first = u64::try_from(time_of_day().as_millis()).expect("a time") + 1_500;
        let mut due = Vec::new();
        for job in Noop::many(self.sizes.samples, PAYLOAD) {
            let at = Duration::from_millis(first + walk.step() as u64);
            peer.enqueue_at(&job, at).await;
            due.push(at);
        }
        let mut late = Vec::new();
        while late.len() < due.len() {
            let next = timeout(PATIENCE, receiver.recv()).await.expect("it started");
            let (number, at): (u64, Duration) = next.expect("the worker lives");
            let due = due[usize::try_from(number).expect("one of them")];
            assert!(at >= due, "job {number} came {:?} too early", due - at);
            late.push(at - due);
        }
        worker.stop().await;
        self.add_percentiles(late, Row::Late50, Row::Late99);
    }

    /// Memory of the server that a pending job takes.
    pub(crate) async fn memory(&mut self, bytes: usize) {
        let peer = self.open().await;
        sleep(REST).await;
        let before = self.gauge.memory().await;
        fill(&*peer, self.sizes.waiting, bytes).await;
        sleep(REST).await;
        let taken = self.gauge.memory().await - before;
        self.add(Row::Memory(bytes), taken / self.sizes.waiting as f64);
    }

    /// Load of an idle worker on the server.
    pub(crate) async fn idle(&mut self) {
        let peer = self.open().await;
        let worker = peer.work(IDLE_CONCURRENCY, Arc::new(|_| ())).await;
        // The work that it does once, at its start, is over.
        sleep(REST * 5).await;
        let before = self.gauge.read().await;
        sleep(self.sizes.idle).await;
        let spent = self.gauge.read().await.since(before);
        worker.stop().await;
        self.add(Row::Idle, spent.commands / self.sizes.idle.as_secs_f64());
        self.add(Row::IdleServer, spent.server * 1e6 / self.sizes.idle.as_secs_f64());
    }

    async fn open(&self) -> Arc<dyn Peer> {
        self.gauge.flush().await;
        self.who.open(self.url).await
    }

    fn add(&mut self, row: Row, value: f64) {
        self.report.add(row, self.who, value);
    }

    fn add_times(&mut self, spent: Reading, count: usize, server: Row, client: Row) {
        self.add(server, spent.server * 1e6 / count as f64);
        self.add(client, spent.client * 1e6 / count as f64);
    }

    fn add_percentiles(&mut self, mut times: Vec<Duration>, middle: Row, most: Row) {
        times.sort();
        let ten: Vec<_> = times.iter().rev().take(10).map(|time| time.as_secs_f64() * 1e3).collect();
        eprintln!("longest, in ms: {ten:.1?}");
        let percentile = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1].as_secs_f64() * 1e3;
        self.add(middle, percentile(50));
        self.add(most, percentile(99));
    }
}

async fn fill(peer: &dyn Peer, count: usize, bytes: usize) {
    for batch in Noop::many(count, bytes).chunks(BATCH) {
        peer.enqueue_bulk(batch).await;
    }
}

async fn done(peer: &dyn Peer, count: usize) {
    while peer.left(count).await > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

fn gap(walk: &mut Walk<'_>) -> Duration {
    Duration::from_millis(2 + walk.step() as u64)
}
