//! Real processes on one file or one Redis, killed with `kill -9`. Acknowledged jobs are stored,
//! batches are complete or absent, and every job runs. The children run this same test binary.
#![cfg(any(feature = "redis", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod support;

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use support::jobs;
use tidegate_queue::{Broker, Context, Handler, Job, Outcome, Producer, QueueCounts, QueueOptions, Worker};
use tokio_util::sync::CancellationToken;

const DIRECTORY: &str = "TIDEGATE_QUEUE_TEST_DIRECTORY";
const JOBS: usize = 600;
const BATCH: usize = 7;

#[derive(Clone, Serialize, Deserialize)]
struct Note;

impl Job for Note {
    const KIND: &'static str = "note";
    const QUEUE: &'static str = "notes";
}

/// Appends the job's id to a file of its process, as the visible effect of a run.
struct Noter(PathBuf);

#[async_trait]
impl Handler<Note> for Noter {
    async fn run(&self, _: Note, context: &Context) -> Outcome {
        append(&self.0, context.id().as_str());
        tokio::time::sleep(Duration::from_millis(2)).await;
        Outcome::done(())
    }
}

fn append(path: &Path, line: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn lines(directory: &Path, prefix: &str) -> Vec<String> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    let files = files.filter(|file| file.file_name().to_str().unwrap().starts_with(prefix));
    files
        .flat_map(|file| std::fs::read_to_string(file.path()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// File with the URL of the broker that the processes of a directory use. Without it, the broker is
/// a file in the directory.
const URL: &str = "url";

async fn open(directory: &Path) -> Arc<dyn Broker> {
    match std::fs::read_to_string(directory.join(URL)) {
        #[cfg(feature = "redis")]
        Ok(url) => Arc::new(support::redis::broker(&url, "test", tidegate_queue::RedisOptions::new()).await),
        #[cfg(feature = "sqlite")]
        _ => {
            let (path, options) = (directory.join("queue.db"), tidegate_queue::SqliteOptions::new());
            Arc::new(tidegate_queue::SqliteBroker::open(path, options).await.unwrap())
        }
        #[cfg(not(feature = "sqlite"))]
        _ => unreachable!("no test without a broker is built"),
    }
}

/// A child process. It is killed when the test ends, at the latest.
struct Child(std::process::Child);

impl Child {
    /// Starts this binary with that test. It finds the directory in the environment and does the
    /// child's work there.
    fn start(test: &str, directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test]).env(DIRECTORY, directory);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The directory of a child. `None` in a process that runs the tests.
fn given() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

async fn work_until_killed(directory: &Path) {
    let noter = Noter(directory.join(format!("runs-{}", std::process::id())));
    let worker = Worker::builder(open(directory).await)
        .queue(Note::QUEUE, QueueOptions::new().concurrency(5))
        .handler::<Note, _>(noter)
        .lease(Duration::from_secs(2));
    worker.build().unwrap().run(CancellationToken::new()).await.unwrap();
}

async fn enqueue_until_killed(directory: &Path) {
    let broker = open(directory).await;
    for nth in 0.. {
        let batch = jobs(nth * BATCH..(nth + 1) * BATCH);
        broker.enqueue(Note::QUEUE, batch).await.unwrap();
        append(&directory.join("acknowledged"), "batch");
    }
}

async fn until(broker: &dyn Broker, wanted: impl Fn(&QueueCounts) -> bool) -> QueueCounts {
    loop {
        let counts = broker.counts(Note::QUEUE).await.unwrap();
        if wanted(&counts) {
            return counts;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn killed_workers_lose_no_job(this: &str, directory: &Path) {
    let broker = open(directory).await;
    let ids = Producer::new(broker.clone()).enqueue_all(&vec![Note; JOBS]).await.unwrap();
    let mut workers: Vec<Child> = (0..3).map(|_| Child::start(this, directory)).collect();
    until(&*broker, |counts| counts.done >= 100).await;
    drop(workers.pop());
    until(&*broker, |counts| counts.done == JOBS as u64).await;
    drop(workers);

    let counts = broker.counts(Note::QUEUE).await.unwrap();
    assert_eq!((counts.ready, counts.delayed, counts.leased, counts.dead), (0, 0, 0, 0));
    assert_eq!((counts.completed_total, counts.failed_total, counts.retried_total), (JOBS as u64, 0, 0));
    let runs = lines(directory, "runs-");
    let ran: HashSet<&str> = runs.iter().map(String::as_str).collect();
    assert!(ids.iter().all(|id| ran.contains(id.as_str())));
    // Only jobs of the killed workers ran again, at most as often as they were reclaimed.
    let again = (runs.len() - JOBS) as u64;
    assert!(again <= counts.reclaimed_total && counts.reclaimed_total <= 15, "{again} {counts:?}");
}

async fn a_killed_producer_leaves_whole_batches(this: &str, directory: &Path) {
    let broker = open(directory).await;
    for _ in 0..3 {
        let producer = Child::start(this, directory);
        let before = broker.counts(Note::QUEUE).await.unwrap().ready;
        until(&*broker, |counts| counts.ready >= before + 5 * BATCH as u64).await;
        drop(producer);
        let stored = usize::try_from(broker.counts(Note::QUEUE).await.unwrap().ready).unwrap();
        assert_eq!(stored % BATCH, 0);
        // The next producer enqueues the same ids from the start: known ids have no effect.
        let acknowledged = lines(directory, "acknowledged").len();
        std::fs::remove_file(directory.join("acknowledged")).unwrap();
        assert!(stored >= acknowledged * BATCH, "{acknowledged} batches acknowledged, {stored} jobs stored");
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_workers() {
    match given() {
        Some(directory) => work_until_killed(&directory).await,
        None => killed_workers_lose_no_job("sqlite_workers", tempfile::tempdir().unwrap().path()).await,
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_producers() {
    match given() {
        Some(directory) => enqueue_until_killed(&directory).await,
        None => a_killed_producer_leaves_whole_batches("sqlite_producers", tempfile::tempdir().unwrap().path()).await,
    }
}

#[cfg(feature = "redis")]
async fn redis_in(directory: &Path) -> tidegate_testkit::redis::RedisServer {
    let server = tidegate_testkit::redis::RedisServer::start().await;
    std::fs::write(directory.join(URL), server.url()).unwrap();
    server
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_workers() {
    if let Some(directory) = given() {
        return work_until_killed(&directory).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let _server = redis_in(directory.path()).await;
    killed_workers_lose_no_job("redis_workers", directory.path()).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_producers() {
    if let Some(directory) = given() {
        return enqueue_until_killed(&directory).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let _server = redis_in(directory.path()).await;
    a_killed_producer_leaves_whole_batches("redis_producers", directory.path()).await;
}
