//! `apalis-redis`: large batches, a short interval, and without the features that are slow
//! according to its documentation.

use std::io;
use std::time::Duration;

use apalis::prelude::{BackendExt, TaskBuilder, TaskSink, WorkerBuilder, WorkerBuilderExt};
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use async_trait::async_trait;
use futures_util::FutureExt;
use tidegate_redis::{Client, Command, Role};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::peer::{Noop, OnStart, Peer, QUEUE, Working};

/// Polling interval of an idle worker. It has no other way to learn of a job: each one is first
/// stored like a delayed job, and so never announced.
const INTERVAL: Duration = Duration::from_millis(10);
/// Its script unpacks all that are due at once, and fails from 8,000.
const MOST_WAITING: usize = 7_000;

pub(crate) struct Apalis {
    storage: RedisStorage<Noop>,
    control: Client,
}

impl Apalis {
    pub(crate) async fn open(url: &str) -> Self {
        let connection: ConnectionManager = apalis_redis::connect(url).await.expect("connected");
        let config = Config::default().queue(QUEUE).batch_size(100).lock_tasks(false).emit_events(false);
        let control = tidegate_redis::Config::parse(url).expect("a URL");
        Self {
            storage: RedisStorage::new(connection).with_config(config),
            control: Client::connect(&control, Role::Durable).await.expect("connected"),
        }
    }
}

#[async_trait]
impl Peer for Apalis {
    fn most_waiting(&self) -> usize {
        MOST_WAITING
    }

    async fn enqueue_bulk(&self, jobs: &[Noop]) {
        self.storage.clone().push_bulk(jobs.to_vec()).await.expect("enqueued");
    }

    async fn enqueue(&self, job: &Noop) {
        self.storage.clone().push(job.clone()).await.expect("enqueued");
    }

    async fn enqueue_at(&self, job: &Noop, due: Duration) {
        // It counts in seconds: the first one that is not too early.
        let due = due.as_secs() + u64::from(due.subsec_nanos() > 0);
        let task = TaskBuilder::new(job.clone()).run_at_timestamp(due).build();
        self.storage.clone().push_task(task).await.expect("enqueued");
    }

    async fn work(&self, concurrency: usize, on_start: OnStart) -> Box<dyn Working> {
        let worker = WorkerBuilder::new("worker")
            .backend(self.storage.clone().poll_with_interval(INTERVAL))
            .concurrency(concurrency)
            .build(move |job: Noop| {
                on_start(job.number);
                async { Ok::<(), io::Error>(()) }
            });
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let stop = async move {
            token.cancelled().await;
            Ok::<(), io::Error>(())
        };
        let run = tokio::spawn(worker.run_until(stop).map(|ended| ended.expect("the worker ran")));
        Box::new(Running { shutdown, run })
    }

    async fn left(&self, enqueued: usize) -> usize {
        let done = self.control.execute(Command::new("SCARD").key(format!("{QUEUE}:done"))).await.expect("counted");
        let done = usize::try_from(done.as_int().expect("a number")).expect("no debt");
        enqueued - done
    }
}

struct Running {
    shutdown: CancellationToken,
    run: JoinHandle<()>,
}

#[async_trait]
impl Working for Running {
    async fn stop(self: Box<Self>) {
        self.shutdown.cancel();
        self.run.await.expect("the worker ended");
    }
}
