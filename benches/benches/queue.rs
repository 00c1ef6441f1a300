//! Brokers in memory and in SQLite with both durabilities: enqueueing, leasing and settling, whole
//! runs.
//!
//! Each sample works on a broker of its own, filled outside the measurement, so that a queue never
//! grows beyond the jobs of one sample. There is no peer in process to compare with: the others
//! need a server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use criterion::{Criterion, SamplingMode, Throughput};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tidegate_benches::Stopwatch;
use tidegate_queue::{
    Ack, Broker, Context, Durability, Fetch, Handler, Job, MemoryBroker, Outcome, Producer, QueueOptions, SqliteBroker,
    SqliteOptions, Worker, WorkerId,
};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const RUN: usize = 2_000;
const STORES: [Store; 3] = [Store::Memory, Store::Sqlite(Durability::Normal), Store::Sqlite(Durability::Full)];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args();
    let runtime = Runtime::new().expect("a runtime");
    for store in STORES {
        enqueue(&mut criterion, &runtime, store);
    }
    for store in STORES {
        ack_and_fetch(&mut criterion, &runtime, store);
    }
    for store in STORES {
        work(&mut criterion, &runtime, store);
    }
    criterion.final_summary();
}

fn enqueue(criterion: &mut Criterion, runtime: &Runtime, store: Store) {
    for batch in [1, 100, 1_000] {
        let jobs = jobs(batch);
        let mut group = criterion.benchmark_group(format!("enqueue a batch of {batch}"));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(batch as u64));
        group.bench_function(store.name(), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let opened = store.open().await;
                    let producer = Producer::new(Arc::clone(&opened.broker));
                    let stopwatch = Stopwatch::start();
                    for _ in 0..iterations {
                        producer.enqueue_all(&jobs).await.expect("enqueued");
                    }
                    stopwatch.elapsed()
                })
            });
        });
    }
}

/// Each step settles the jobs that the last one leased, and leases as many again.
fn ack_and_fetch(criterion: &mut Criterion, runtime: &Runtime, store: Store) {
    for batch in [1, 10, 100] {
        let mut group = criterion.benchmark_group(format!("settle and lease a batch of {batch}"));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(batch as u64));
        group.bench_function(store.name(), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let opened = store.open().await;
                    let steps = usize::try_from(iterations).expect("a number of steps");
                    opened.fill((steps + 1) * batch).await;
                    let worker = WorkerId::generate();
                    let fetch = || Fetch { worker: worker.clone(), max: batch, lease: Duration::from_secs(600) };
                    let (_, mut leased) =
                        opened.broker.ack_and_fetch(Noop::QUEUE, Vec::new(), fetch()).await.expect("leased");
                    let stopwatch = Stopwatch::start();
                    for _ in 0..iterations {
                        let acks = leased.into_iter().map(|job| Ack { token: job.token, result: "null".to_owned() });
                        let step = opened.broker.ack_and_fetch(Noop::QUEUE, acks.collect(), fetch());
                        leased = step.await.expect("settled and leased").1;
                    }
                    let elapsed = stopwatch.elapsed();
                    assert_eq!(leased.len(), batch, "the queue was never empty");
                    elapsed
                })
            });
        });
    }
}

/// A worker from its start until the last of the jobs is settled and the worker has ended.
fn work(criterion: &mut Criterion, runtime: &Runtime, store: Store) {
    for concurrency in [10, 100] {
        let mut group = criterion.benchmark_group(format!("worker runs {RUN} jobs, {concurrency} at once"));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(RUN as u64));
        group.bench_function(store.name(), |bencher| {
            bencher.iter_custom(|iterations| {
                runtime.block_on(async {
                    let mut elapsed = Duration::ZERO;
                    for _ in 0..iterations {
                        let opened = store.open().await;
                        opened.fill(RUN).await;
                        elapsed += opened.drain(concurrency).await;
                    }
                    elapsed
                })
            });
        });
    }
}

#[derive(Clone, Copy)]
enum Store {
    Memory,
    Sqlite(Durability),
}

impl Store {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite(Durability::Full) => "SQLite, Full",
            Self::Sqlite(Durability::Normal) => "SQLite, Normal",
        }
    }

    async fn open(self) -> Opened {
        let directory = tempfile::tempdir().expect("a directory");
        let broker: Arc<dyn Broker> = match self {
            Self::Memory => Arc::new(MemoryBroker::new()),
            Self::Sqlite(durability) => Arc::new(sqlite(directory.path(), durability).await),
        };
        Opened { broker, _directory: directory }
    }
}

async fn sqlite(directory: &Path, durability: Durability) -> SqliteBroker {
    let options = SqliteOptions::new().durability(durability);
    SqliteBroker::open(directory.join("queue.db"), options).await.expect("a new file")
}

struct Opened {
    broker: Arc<dyn Broker>,
    _directory: TempDir,
}

impl Opened {
    async fn fill(&self, count: usize) {
        let producer = Producer::new(Arc::clone(&self.broker));
        let jobs = jobs(count.min(1_000));
        let mut left = count;
        while left > 0 {
            let batch = left.min(jobs.len());
            producer.enqueue_all(&jobs[..batch]).await.expect("enqueued");
            left -= batch;
        }
    }

    async fn drain(&self, concurrency: usize) -> Duration {
        let done = CancellationToken::new();
        let handler = Countdown { left: AtomicUsize::new(RUN), done: done.clone() };
        let worker = Worker::builder(Arc::clone(&self.broker))
            .queue(Noop::QUEUE, QueueOptions::new().concurrency(concurrency))
            .handler::<Noop, _>(handler)
            .build()
            .expect("a good worker");
        let stopwatch = Stopwatch::start();
        let report = worker.run(done).await.expect("the worker started");
        let elapsed = stopwatch.elapsed();
        assert_eq!(report.settled, RUN as u64, "every job ran once");
        elapsed
    }
}

#[derive(Serialize, Deserialize)]
struct Noop {
    tenant: String,
    row: usize,
    note: String,
}

impl Job for Noop {
    const KIND: &'static str = "noop";
    const QUEUE: &'static str = "bench";
}

fn jobs(count: usize) -> Vec<Noop> {
    // About 100 bytes of JSON.
    (0..count).map(|row| Noop { tenant: "acme".to_owned(), row, note: "x".repeat(64) }).collect()
}

struct Countdown {
    left: AtomicUsize,
    done: CancellationToken,
}

#[async_trait]
impl Handler<Noop> for Countdown {
    async fn run(&self, job: Noop, _: &Context) -> Outcome {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.cancel();
        }
        Outcome::done(job.row)
    }
}
