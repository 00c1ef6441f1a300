//! The store of jobs: a trait in which each method is one atomic step of the store.

pub(crate) mod admission;
mod counts;
pub(crate) mod documents;
mod events;
mod memory;
mod new_job;
mod overview;
mod page;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod request;
mod settings;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod standing;
mod wait;
mod worker_info;

use std::time::Duration;

use async_trait::async_trait;

use crate::error::BrokerError;
use crate::id::{GroupId, JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{JobRecord, LogLine, Progress};
use crate::state::JobState;
use crate::timestamp::Timestamp;

pub use counts::QueueCounts;
pub use documents::{Document, Documents};
pub use events::{EventCursor, EventPage, JobEvent, JobEventKind};
pub use memory::MemoryBroker;
pub use new_job::NewJob;
pub use overview::QueueOverview;
pub use page::{Cursor, CursorError, Page};
pub use request::{Change, CleanableState, Fetch, GroupCounts, Promoted, Reclaim, Reclaimed, Retention, Stored, Wake};
pub use settings::{QueueSettings, Rate, RateError};
pub use worker_info::WorkerInfo;
pub(crate) use {events::EVENTS_KEPT, settings::Throttle};

/// A store of jobs.
///
/// Each method is one atomic step on one queue. It takes effect completely or not at all, and it
/// continues if the caller stops waiting. A queue exists from its first job on; a queue that
/// doesn't exist reads as empty. Batches may have any size, but other users of the store wait while
/// they run: keep them in the hundreds. All times are read from the broker's clock.
#[async_trait]
pub trait Broker: Documents + 'static {
    /// The time of the broker's clock.
    ///
    /// # Errors
    /// A store error.
    async fn now(&self) -> Result<Timestamp, BrokerError>;

    /// Whether a queue may have several partitions, so that a batch is stored all or none only
    /// within a route.
    fn is_partitioned(&self) -> bool {
        false
    }

    /// Stores jobs in order, all or none. In a queue with several partitions, all or none holds
    /// within each. A job whose id the queue already has, in any state, is left unchanged. Answers
    /// are in the order of `jobs`.
    ///
    /// # Errors
    /// - [`BrokerError::QueueName`] for a bad name.
    /// - [`BrokerError::Group`] if a job names a group that is sealed or in another queue, unless
    ///   the job is already stored.
    /// - A store error.
    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, BrokerError>;

    /// Settles done jobs, then leases the next ready jobs by priority and age. Answers are in the
    /// order of `acks`. A paused queue leases nothing.
    ///
    /// # Errors
    /// A store error. As far as is known, nothing was settled or leased.
    async fn ack_and_fetch(
        &self,
        queue: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError>;

    /// Settles leases of jobs that were not done. Answers are in the order of `nacks`.
    ///
    /// # Errors
    /// A store error.
    async fn nack(&self, queue: &str, nacks: Vec<Nack>) -> Result<Vec<Settled>, BrokerError>;

    /// Extends leases to `lease` from now.
    ///
    /// # Errors
    /// A store error.
    async fn heartbeat(&self, queue: &str, tokens: Vec<LeaseToken>, lease: Duration) -> Result<Heartbeat, BrokerError>;

    /// Stores the progress of a leased job. Returns whether the lease is still held. A percentage
    /// that is higher than all before resets the count of lost leases. A full Redis keeps the old
    /// message if the new one is longer, and counts the new one in [`QueueCounts::dropped_total`].
    ///
    /// # Errors
    /// A store error.
    async fn progress(&self, queue: &str, token: &LeaseToken, progress: Progress) -> Result<bool, BrokerError>;

    /// Stores the checkpoint of a leased job, up to 64 KiB, for its next run. Returns whether the
    /// lease is still held. A full Redis keeps the old checkpoint if the new one is longer, and
    /// counts the new one in [`QueueCounts::dropped_total`].
    ///
    /// # Errors
    /// [`BrokerError::TooLarge`], or a store error.
    async fn checkpoint(&self, queue: &str, token: &LeaseToken, checkpoint: String) -> Result<bool, BrokerError>;

    /// Appends lines to the log of a leased job, which keeps the last 100. Returns whether the
    /// lease is still held.
    ///
    /// # Errors
    /// A store error.
    async fn log(&self, queue: &str, token: &LeaseToken, lines: Vec<String>) -> Result<bool, BrokerError>;

    /// Makes at most `limit` delayed jobs ready that are due.
    ///
    /// # Errors
    /// A store error.
    async fn promote(&self, queue: &str, limit: usize) -> Result<Promoted, BrokerError>;

    /// Reclaims leases that have expired. A job that lost too many leases becomes dead.
    ///
    /// # Errors
    /// A store error.
    async fn reclaim(&self, queue: &str, request: Reclaim) -> Result<Reclaimed, BrokerError>;

    /// Removes finished jobs beyond `retention`, at most `limit` of each state, and at most `limit`
    /// unique keys whose time is over. Returns how many jobs were removed. `limit` or more means
    /// that there may be more to remove.
    ///
    /// # Errors
    /// A store error.
    async fn prune(&self, queue: &str, retention: Retention, limit: usize) -> Result<usize, BrokerError>;

    /// Waits until one of `queues` has work or `timeout` has passed. May return early. Cancel-safe.
    ///
    /// # Errors
    /// A store error.
    async fn wait(&self, queues: &[String], timeout: Duration) -> Result<Wake, BrokerError>;

    /// Reads one job.
    ///
    /// # Errors
    /// A store error.
    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError>;

    /// Reads a job's log, oldest line first.
    ///
    /// # Errors
    /// A store error.
    async fn logs(&self, queue: &str, id: &JobId) -> Result<Vec<LogLine>, BrokerError>;

    /// Reads a page of the jobs in `state`. The next job to run is first; of finished jobs, the
    /// latest is first. A job that changes its state between two pages may be missed or seen twice.
    ///
    /// # Errors
    /// A store error.
    async fn list(
        &self,
        queue: &str,
        state: JobState,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, BrokerError>;

    /// Counts by state, and lifetime totals. The cost does not grow with the queue.
    ///
    /// # Errors
    /// A store error.
    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError>;

    /// Reads counts and settings of several queues, in the order of `queues`. SQLite uses one
    /// statement for all of them, and Redis sends its requests concurrently. The default
    /// implementation reads queue by queue. A queue that doesn't exist has no jobs and the default
    /// settings.
    ///
    /// # Errors
    /// A store error.
    async fn overviews(&self, queues: &[&str]) -> Result<Vec<QueueOverview>, BrokerError> {
        let mut overviews = Vec::with_capacity(queues.len());
        for queue in queues {
            overviews.push(QueueOverview::new(self.counts(queue).await?, self.settings(queue).await?));
        }
        Ok(overviews)
    }

    /// Reads the running jobs of several queues, at most `limit` of each, in the order of `queues`.
    /// SQLite uses one statement for all of them, and Redis sends its requests concurrently. The
    /// default implementation reads queue by queue.
    ///
    /// # Errors
    /// A store error.
    async fn running(&self, queues: &[&str], limit: usize) -> Result<Vec<JobRecord>, BrokerError> {
        let mut running = Vec::new();
        for queue in queues {
            running.extend(self.list(queue, JobState::Leased, None, limit).await?.items);
        }
        Ok(running)
    }

    /// Names of all queues, sorted.
    ///
    /// # Errors
    /// A store error.
    async fn queues(&self) -> Result<Vec<String>, BrokerError>;

    /// Stops leasing jobs of a queue. Running jobs continue.
    ///
    /// # Errors
    /// [`BrokerError::QueueName`] for a bad name, or a store error.
    async fn pause(&self, queue: &str) -> Result<(), BrokerError>;

    /// Leases jobs of a paused queue again.
    ///
    /// # Errors
    /// [`BrokerError::QueueName`] for a bad name, or a store error.
    async fn resume(&self, queue: &str) -> Result<(), BrokerError>;

    /// Sets the settings of a queue, for all its workers.
    ///
    /// # Errors
    /// [`BrokerError::QueueName`] for a bad name, or a store error.
    async fn configure(&self, queue: &str, settings: QueueSettings) -> Result<(), BrokerError>;

    /// Reads the settings that [`configure`](Self::configure) stored.
    ///
    /// # Errors
    /// A store error.
    async fn settings(&self, queue: &str) -> Result<QueueSettings, BrokerError>;

    /// Reads events after `after`, oldest first. `None` returns no events, and a cursor for the
    /// events that follow. Events are kept while [`QueueSettings::events`] is set, about the last
    /// 10,000 of each queue.
    ///
    /// # Errors
    /// A store error.
    async fn events(&self, queue: &str, after: Option<EventCursor>, limit: usize) -> Result<EventPage, BrokerError>;

    /// Counts the jobs of a group. `None` if no job of the queue has named it.
    ///
    /// # Errors
    /// A store error.
    async fn group(&self, queue: &str, group: &GroupId) -> Result<Option<GroupCounts>, BrokerError>;

    /// Removes the counts of a group.
    ///
    /// # Errors
    /// A store error.
    async fn forget_group(&self, queue: &str, group: &GroupId) -> Result<(), BrokerError>;

    /// Cancels at most `limit` jobs that have not started: ready jobs in their order first, then
    /// delayed, then waiting ones. Returns how many.
    ///
    /// # Errors
    /// A store error.
    async fn drain(&self, queue: &str, limit: usize) -> Result<usize, BrokerError>;

    /// Makes at most `limit` dead jobs ready, oldest first, with all their attempts again. Returns
    /// how many.
    ///
    /// # Errors
    /// A store error.
    async fn retry_dead(&self, queue: &str, limit: usize) -> Result<usize, BrokerError>;

    /// Cancels a job that is not running, or asks the worker of a running one to stop.
    ///
    /// # Errors
    /// A store error.
    async fn cancel(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError>;

    /// Makes a dead, cancelled or delayed job ready. A dead or cancelled one has all its attempts
    /// again.
    ///
    /// # Errors
    /// A store error.
    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError>;

    /// Removes jobs that are done, dead or cancelled, with their records and logs. Counts of groups
    /// and lifetime totals stay. Answers are in the order of `ids`: [`Change::Refused`] for a job
    /// that has not ended. Redis removes at most 20 jobs of one partition per script, because each
    /// may cost a search of the whole list of done jobs.
    ///
    /// # Errors
    /// A store error; some of the jobs may have been removed. Redis continues with the other
    /// partitions and returns the first error. It is safe to repeat the call.
    async fn remove(&self, queue: &str, ids: &[JobId]) -> Result<Vec<Change>, BrokerError>;

    /// Removes at most `limit` jobs that finished more than `older_than` ago, oldest first. Returns
    /// how many.
    ///
    /// # Errors
    /// A store error.
    async fn clean(
        &self,
        queue: &str,
        state: CleanableState,
        older_than: Duration,
        limit: usize,
    ) -> Result<usize, BrokerError>;

    /// Records that a worker is alive.
    ///
    /// # Errors
    /// A store error.
    async fn announce(&self, worker: WorkerInfo) -> Result<(), BrokerError>;

    /// Removes a worker that has ended.
    ///
    /// # Errors
    /// A store error.
    async fn withdraw(&self, worker: &WorkerId) -> Result<(), BrokerError>;

    /// Workers seen within the last hour, by id, including those that are
    /// [lost](WorkerInfo::is_lost).
    ///
    /// # Errors
    /// A store error.
    async fn workers(&self) -> Result<Vec<WorkerInfo>, BrokerError>;
}

/// Largest checkpoint, in bytes.
pub(crate) const CHECKPOINT_LIMIT: usize = 64 << 10;

/// How long a worker is listed after its last announcement.
pub(crate) const WORKER_MEMORY: Duration = Duration::from_secs(3600);
