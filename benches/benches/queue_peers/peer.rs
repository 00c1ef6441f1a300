//! The interface of a queue for the measurements.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// The one queue. Between turns the server is emptied.
pub(crate) const QUEUE: &str = "bench";
/// The kind of job, for peers that require one.
pub(crate) const KIND: &str = "noop";

/// A job that does nothing but say that it has started.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Noop {
    pub(crate) number: u64,
    pub(crate) note: String,
}

impl Noop {
    /// Returns jobs of this number of bytes of JSON each, numbered from zero.
    pub(crate) fn many(count: usize, bytes: usize) -> Vec<Self> {
        let plain = r#"{"number":0,"note":""}"#.len();
        (0_u64..)
            .take(count)
            .map(|number| {
                let digits = number.checked_ilog10().unwrap_or(0) as usize;
                Self { number, note: "x".repeat(bytes - plain - digits) }
            })
            .collect()
    }
}

/// Hears the number of each job as its handler starts.
pub(crate) type OnStart = Arc<dyn Fn(u64) + Send + Sync>;

/// Owner of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Tidegate,
    BullMq,
    /// The same, and a job that is done is removed at once.
    BullMqRemoving,
    Apalis,
}

impl Who {
    pub(crate) const ALL: [Self; 4] = [Self::Tidegate, Self::BullMq, Self::BullMqRemoving, Self::Apalis];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::BullMq => "bullmq-official",
            Self::BullMqRemoving => "bullmq-official, removing",
            Self::Apalis => "apalis-redis",
        }
    }

    /// Connects anew.
    pub(crate) async fn open(self, url: &str) -> Arc<dyn Peer> {
        match self {
            Self::Tidegate => Arc::new(crate::ours::Ours::open(url).await),
            Self::BullMq => Arc::new(crate::bullmq::BullMq::open(url, false).await),
            Self::BullMqRemoving => Arc::new(crate::bullmq::BullMq::open(url, true).await),
            Self::Apalis => Arc::new(crate::apalis::Apalis::open(url).await),
        }
    }
}

/// One queue on the server. A failure ends the run: there is nothing to compare then.
#[async_trait]
pub(crate) trait Peer: Send + Sync {
    /// Most jobs that a worker finds at its start.
    fn most_waiting(&self) -> usize {
        usize::MAX
    }
    /// One call of its API for many.
    async fn enqueue_bulk(&self, jobs: &[Noop]);
    /// One call of its API for one.
    async fn enqueue(&self, job: &Noop);
    /// Due at a time since the Unix epoch.
    async fn enqueue_at(&self, job: &Noop, due: Duration);
    /// Starts a worker with this number of concurrent jobs.
    async fn work(&self, concurrency: usize, on_start: OnStart) -> Box<dyn Working>;
    /// Jobs that are not done.
    async fn left(&self, enqueued: usize) -> usize;
}

/// A worker that runs.
#[async_trait]
pub(crate) trait Working: Send {
    /// Ends it.
    async fn stop(self: Box<Self>);
}
