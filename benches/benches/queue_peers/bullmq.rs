//! `bullmq-official`, the Rust port of `BullMQ`, with its defaults.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bullmq::options::RedisConnectionOptions;
use bullmq::types::RemoveOnFinish;
use bullmq::{BulkJob, Job, JobOptions, Queue, QueueOptions, Worker, WorkerOptions};
use tidegate_benches::time_of_day;

use crate::peer::{KIND, Noop, OnStart, Peer, QUEUE, Working};

pub(crate) struct BullMq {
    connection: RedisConnectionOptions,
    removes: bool,
    queue: Queue,
}

impl BullMq {
    /// With `removes`, completed jobs are removed at once. Otherwise they are kept, as by default.
    pub(crate) async fn open(url: &str, removes: bool) -> Self {
        let connection = RedisConnectionOptions::new().url(url);
        let options = QueueOptions::new().connection(connection.clone());
        Self { queue: Queue::with_options(QUEUE, options).await.expect("connected"), connection, removes }
    }
}

#[async_trait]
impl Peer for BullMq {
    async fn enqueue_bulk(&self, jobs: &[Noop]) {
        let jobs = jobs.iter().map(|job| BulkJob::new(KIND, job)).collect();
        self.queue.add_bulk(jobs).await.expect("enqueued");
    }

    async fn enqueue(&self, job: &Noop) {
        self.queue.add(KIND, job).await.expect("enqueued");
    }

    async fn enqueue_at(&self, job: &Noop, due: Duration) {
        // It adds the delay to the time stamp, both in whole milliseconds.
        let now = Duration::from_millis(u64::try_from(time_of_day().as_millis()).expect("a time"));
        let options = JobOptions::new().timestamp(SystemTime::UNIX_EPOCH + now).delay(due.saturating_sub(now));
        self.queue.add(KIND, job).options(options).await.expect("enqueued");
    }

    async fn work(&self, concurrency: usize, on_start: OnStart) -> Box<dyn Working> {
        let mut options =
            WorkerOptions::new().connection(self.connection.clone()).concurrency(concurrency).manual_start();
        if self.removes {
            options = options.remove_on_complete(RemoveOnFinish::Bool(true));
        }
        let processor = move |job: Job, _| {
            let number = job.data()["number"].as_u64().expect("a number");
            on_start(number);
            async { Ok(serde_json::Value::Null) }
        };
        let worker = Worker::with_options(QUEUE, processor, options).await.expect("connected");
        worker.run().await.expect("the worker started");
        Box::new(Running(worker))
    }

    async fn left(&self, _: usize) -> usize {
        let counts = self.queue.get_job_counts().await.expect("counted");
        usize::try_from(counts.waiting + counts.active + counts.delayed).expect("a number")
    }
}

struct Running(Worker);

#[async_trait]
impl Working for Running {
    async fn stop(self: Box<Self>) {
        // An idle worker waits for jobs for 5 s. It needs no longer than this for those in
        // progress.
        self.0.close(200).await.expect("the worker ended");
    }
}
