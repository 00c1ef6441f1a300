//! A broker with a worker, and the tasks that it runs.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_queue::{
    Backoff, Broker, Context, Handler, Job, JobId, JobRecord, MemoryBroker, Outcome, Producer, QueueOptions,
    RetryPolicy, ShutdownReport, Worker, WorkerBuilder,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const QUEUE: &str = "work";

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) enum Task {
    Finish,
    FailUntil(u32),
    Panic,
    Bury,
    Hang,
    Compute(u64),
    WaitForCancel,
    TidyUp,
    Progress,
}

impl Job for Task {
    const KIND: &'static str = "task";
    const QUEUE: &'static str = QUEUE;
}

/// Runs tasks, counts runs, and signals when one has started.
#[derive(Clone)]
pub(crate) struct Runner {
    pub(crate) begun: Arc<Semaphore>,
    pub(crate) runs: Arc<AtomicU32>,
}

#[async_trait]
impl Handler<Task> for Runner {
    async fn run(&self, task: Task, context: &Context) -> Outcome {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.begun.add_permits(1);
        match task {
            Task::Finish => Outcome::done(context.attempt()),
            Task::FailUntil(attempt) if context.attempt() < attempt => Outcome::retry("not yet"),
            Task::FailUntil(_) => Outcome::done(context.attempt()),
            Task::Panic => panic!("boom {}", context.attempt()),
            Task::Bury => Outcome::bury("hopeless"),
            Task::Hang => std::future::pending().await,
            Task::Compute(ms) => {
                let end = tokio::time::Instant::now() + Duration::from_millis(ms);
                while tokio::time::Instant::now() < end {
                    std::hint::spin_loop();
                }
                Outcome::done("computed")
            }
            Task::WaitForCancel => {
                context.cancelled().cancelled().await;
                Outcome::retry("cancelled")
            }
            Task::TidyUp => {
                context.cancelled().cancelled().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
                self.begun.add_permits(1);
                std::future::pending().await
            }
            Task::Progress => match context.progress(200, "all").await {
                Ok(()) => Outcome::done("reported"),
                Err(lost) => Outcome::bury(lost),
            },
        }
    }
}

pub(crate) struct Harness {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) producer: Producer,
    pub(crate) runner: Runner,
    pub(crate) shutdown: CancellationToken,
    pub(crate) _store: Option<Box<dyn Any + Send>>,
}

impl Harness {
    pub(crate) fn memory() -> Self {
        Self::over(Arc::new(MemoryBroker::new()), None)
    }

    #[cfg(feature = "sqlite")]
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = tidegate_queue::SqliteOptions::new();
        let path = directory.path().join("queue.db");
        let broker = tidegate_queue::SqliteBroker::open(path, options).await.unwrap();
        Self::over(Arc::new(broker), Some(Box::new(directory)))
    }

    #[cfg(feature = "redis")]
    pub(crate) async fn redis() -> Self {
        let server = tidegate_testkit::redis::RedisServer::start().await;
        let broker = crate::support::redis::broker(&server.url(), "test", tidegate_queue::RedisOptions::new()).await;
        Self::over(Arc::new(broker), Some(Box::new(server)))
    }

    pub(crate) fn over(broker: Arc<dyn Broker>, store: Option<Box<dyn Any + Send>>) -> Self {
        let runner = Runner { begun: Arc::new(Semaphore::new(0)), runs: Arc::default() };
        let producer = Producer::new(broker.clone());
        Self { broker, producer, runner, shutdown: CancellationToken::new(), _store: store }
    }

    pub(crate) fn worker(&self) -> WorkerBuilder {
        self.worker_with(options())
    }

    pub(crate) fn worker_with(&self, options: QueueOptions) -> WorkerBuilder {
        Worker::builder(self.broker.clone())
            .queue(QUEUE, options)
            .handler::<Task, _>(self.runner.clone())
            .lease(Duration::from_secs(2))
            .grace(Duration::from_secs(30))
    }

    pub(crate) fn start(&self, worker: WorkerBuilder) -> JoinHandle<ShutdownReport> {
        let (worker, shutdown) = (worker.build().unwrap(), self.shutdown.clone());
        tokio::spawn(async move { worker.run(shutdown).await.unwrap() })
    }

    pub(crate) async fn begun(&self, runs: u32) {
        self.runner.begun.acquire_many(runs).await.unwrap().forget();
    }

    /// Polls until the job satisfies `wanted`. The test harness limits the wait.
    pub(crate) async fn until(&self, id: &JobId, wanted: impl Fn(&JobRecord) -> bool) -> JobRecord {
        loop {
            let record = self.broker.job(QUEUE, id).await.unwrap().expect("kept");
            if wanted(&record) {
                return record;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn finished(&self, id: &JobId) -> JobRecord {
        self.until(id, |record| record.state.is_finished()).await
    }
}

pub(crate) fn options() -> QueueOptions {
    let backoff = Backoff::Fixed(Duration::from_millis(1));
    QueueOptions::new().retry(RetryPolicy::new(3, backoff).unwrap())
}
