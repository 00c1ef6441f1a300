//! The work of a process that is killed. It runs this same test binary, with its task in the
//! environment.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_queue::{Context, EnqueueOptions, Handler, Job, JobId, NewJob, Outcome, QueueOptions, Retention, Worker};
use tidegate_testkit::{Process, poll_until};
use tokio_util::sync::CancellationToken;

use crate::location::StoreLocation;
use crate::log_file::{LogEntry, LogFile, count};

const TASK: &str = "TIDEGATE_QUEUE_TEST_TASK";
/// Files of producers: the enqueues that were acknowledged.
pub const ACKNOWLEDGED: &str = "acknowledged";
/// Files of handlers: runs that have started. Only of runs that don't end at once.
pub const BEGUN: &str = "begun";
/// Files of handlers: runs that have ended, as their last action.
pub const RUNS: &str = "runs";
pub const QUEUE: &str = "steps";
/// Jobs enqueued together.
const BATCH: u32 = 50;

#[derive(Serialize, Deserialize)]
pub struct Step {
    pub number: u32,
}

impl Job for Step {
    const KIND: &'static str = "step";
    const QUEUE: &'static str = QUEUE;
}

pub fn id(number: u32) -> JobId {
    JobId::new(format!("step-{number:08}")).unwrap()
}

pub fn job(number: u32) -> NewJob {
    NewJob::of(&Step { number }, EnqueueOptions::new().id(id(number)), 1_000).unwrap()
}

/// The task of a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    pub location: StoreLocation,
    pub role: Role,
    /// Whether it has one thread, which handlers can block.
    pub is_single: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Enqueues these jobs with pauses between batches, and ends. Continues where an earlier
    /// process of the same range was killed.
    Enqueue { jobs: Range<u32>, pause: Duration },
    /// Works until it is killed.
    Work { lease: Duration, slots: usize, kept: u64, how: How },
}

/// How a run behaves.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum How {
    AtOnce,
    /// Never ends.
    Hang,
    /// Computes for that long without yielding.
    Block(Duration),
    /// Takes that long.
    Take(Duration),
}

impl Task {
    /// Starts a process for the task.
    pub fn start(&self, name: &str) -> Process {
        let test = if self.is_single { "child::on_one_thread" } else { "child::on_two_threads" };
        let process = Process::builder(std::env::current_exe().unwrap())
            .name(name)
            .args(["--exact", test, "--nocapture"])
            .env(TASK, serde_json::to_string(self).unwrap());
        process.start().unwrap()
    }

    pub fn enqueue(location: &StoreLocation, jobs: Range<u32>, pause: Duration) -> Self {
        Self { location: location.clone(), role: Role::Enqueue { jobs, pause }, is_single: false }
    }

    pub fn work(location: &StoreLocation, lease: Duration, slots: usize, how: How) -> Self {
        let role = Role::Work { lease, slots, kept: Retention::default().done_max, how };
        Self { location: location.clone(), role, is_single: false }
    }

    /// Sets how many finished jobs are kept.
    pub fn keep(mut self, jobs: u64) -> Self {
        if let Role::Work { kept, .. } = &mut self.role {
            *kept = jobs;
        }
        self
    }

    pub fn on_one_thread(self) -> Self {
        Self { is_single: true, ..self }
    }

    async fn run(self) {
        match self.role {
            Role::Enqueue { jobs, pause } => enqueue(&self.location, jobs, pause).await,
            Role::Work { lease, slots, kept, how } => work(&self.location, lease, slots, kept, how).await,
        }
    }
}

fn given() -> Option<Task> {
    Some(serde_json::from_str(&std::env::var(TASK).ok()?).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_two_threads() {
    if let Some(task) = given() {
        task.run().await;
    }
}

#[tokio::test]
async fn on_one_thread() {
    if let Some(task) = given() {
        task.run().await;
    }
}

async fn enqueue(location: &StoreLocation, jobs: Range<u32>, pause: Duration) {
    let name = format!("{ACKNOWLEDGED}-{:08}", jobs.start);
    let stored = u32::try_from(count(&location.directory, &name)).unwrap();
    let log = LogFile::open(&location.directory, &name);
    let broker = location.broker().await;
    let mut next = jobs.start + stored;
    while next < jobs.end {
        let batch = next..(next + BATCH).min(jobs.end);
        next = batch.end;
        // The ids make it safe to repeat an enqueue. Batches that were not recorded before a kill
        // are enqueued again too.
        let stored = async || broker.enqueue(QUEUE, batch.clone().map(job).collect()).await.ok();
        poll_until(Duration::MAX, stored).await.unwrap();
        let entries: Vec<LogEntry> = batch.map(|number| LogEntry::now(number, 0)).collect();
        log.add(&entries);
        tokio::time::sleep(pause).await;
    }
}

async fn work(location: &StoreLocation, lease: Duration, slots: usize, kept: u64, how: How) {
    let log = |name: &str| LogFile::open(&location.directory, &format!("{name}-{}", std::process::id()));
    let retention = Retention { done_max: kept, ..Retention::default() };
    // Jobs must not become dead because of the killed workers.
    let options = QueueOptions::new().concurrency(slots).retention(retention).max_lost_leases(1_000);
    let worker = Worker::builder(location.broker().await)
        .queue(QUEUE, options)
        .handler::<Step, _>(Effect { begun: log(BEGUN), runs: log(RUNS), how })
        .lease(lease);
    worker.build().unwrap().run(CancellationToken::new()).await.unwrap();
}

struct Effect {
    begun: LogFile,
    runs: LogFile,
    how: How,
}

#[async_trait]
impl Handler<Step> for Effect {
    async fn run(&self, Step { number }: Step, context: &Context) -> Outcome {
        if !matches!(self.how, How::AtOnce) {
            self.begun.add(&[LogEntry::now(number, context.delivery())]);
        }
        match self.how {
            How::AtOnce => {}
            How::Hang => std::future::pending().await,
            How::Block(time) => block(time),
            How::Take(time) => tokio::time::sleep(time).await,
        }
        self.runs.add(&[LogEntry::now(number, context.delivery())]);
        Outcome::done(())
    }
}

#[expect(clippy::disallowed_methods, reason = "this is what is to be survived")]
fn block(time: Duration) {
    std::thread::sleep(time);
}
