//! Where jobs are kept: one trait, shaped so that each method is one atomic step of the store.

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

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::BrokerError;
use crate::id::{GroupId, JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{JobRecord, LogLine, Progress};
use crate::state::State;
use crate::worker::WorkerInfo;

pub use counts::QueueCounts;
pub use documents::{Document, Documents};
pub use events::{EventCursor, EventPage, JobEvent, JobEventKind};
pub use memory::MemoryBroker;
pub use new_job::NewJob;
pub use overview::QueueOverview;
pub use page::{Cursor, CursorError, Page};
pub use request::{Change, CleanableState, Fetch, GroupCounts, Promoted, Reclaim, Reclaimed, Retention, Stored, Wake};
pub use settings::{QueueSettings, Rate, RateError};
pub(crate) use {events::EVENTS_KEPT, settings::Throttle};

/// A store of jobs.
///
/// Each method is one atomic step on one queue: it happens wholly or not at all, and a caller that
/// stops waiting doesn't stop it. A queue exists from its first job; reads of one that doesn't exist
/// find it empty. Batches may be of any size, but hold back other users of the store while they
/// run: keep them in the hundreds. All times are the broker's own.
#[async_trait]
pub trait Broker: Documents + 'static {
    /// The time by the broker's clock.
    ///
    /// # Errors
    /// A failing store.
    async fn now(&self) -> Result<Timestamp, BrokerError>;

    /// Whether a queue may have several partitions, so that a batch is all or none only for jobs of one route.
    fn is_partitioned(&self) -> bool {
        false
    }

    /// Adds jobs, all or none, in order; on a queue of several partitions all or none of each. A job whose id the queue already
    /// knows, in any state, is left as it is. Answers are in the order of `jobs`.
    ///
    /// # Errors
    /// [`BrokerError::QueueName`] for a bad name, [`BrokerError::Group`] for a job that names a [group](crate::Groups) which
    /// is sealed or in another queue, unless the job is stored already, or a failing store.
    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, BrokerError>;

    /// Settles successes, then leases the next ready jobs by priority and age. Answers are in the
    /// order of `acks`. A paused queue leases nothing.
    ///
    /// # Errors
    /// A failing store; nothing was settled or leased as far as is known.
    async fn ack_and_fetch(
        &self,
        queue: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError>;

    /// Settles leases that did not succeed. Answers are in the order of `nacks`.
    ///
    /// # Errors
    /// A failing store.
    async fn nack(&self, queue: &str, nacks: Vec<Nack>) -> Result<Vec<Settled>, BrokerError>;

    /// Extends leases to `lease` from now.
    ///
    /// # Errors
    /// A failing store.
    async fn heartbeat(&self, queue: &str, tokens: Vec<LeaseToken>, lease: Duration) -> Result<Heartbeat, BrokerError>;

    /// Stores the progress of a leased job. Returns whether the lease is still held. A higher percentage than before
    /// forgets the leases that the job has lost. A full Redis keeps the message before where the new
    /// one is longer, and counts the new one in [`QueueCounts::dropped_total`].
    ///
    /// # Errors
    /// A failing store.
    async fn progress(&self, queue: &str, token: &LeaseToken, progress: Progress) -> Result<bool, BrokerError>;

    /// Stores with a leased job what its next run should go on from, up to 64 KiB. Returns whether the lease is still held.
    /// A full Redis keeps the checkpoint before where the new one is longer, and counts the new one
    /// in [`QueueCounts::dropped_total`].
    ///
    /// # Errors
    /// [`BrokerError::TooLarge`], or a failing store.
    async fn checkpoint(&self, queue: &str, token: &LeaseToken, checkpoint: String) -> Result<bool, BrokerError>;

    /// Writes lines to the log of a leased job, which keeps the last 100. Returns whether the lease is still held.
    ///
    /// # Errors
    /// A failing store.
    async fn log(&self, queue: &str, token: &LeaseToken, lines: Vec<String>) -> Result<bool, BrokerError>;

    /// Makes delayed jobs ready whose time has come, at most `limit`.
    ///
    /// # Errors
    /// A failing store.
    async fn promote(&self, queue: &str, limit: usize) -> Result<Promoted, BrokerError>;

    /// Takes back leases that expired. A job that lost too many leases is dead.
    ///
    /// # Errors
    /// A failing store.
    async fn reclaim(&self, queue: &str, request: Reclaim) -> Result<Reclaimed, BrokerError>;

    /// Trims finished jobs to `retention`, at most `limit` of each state, and forgets as many unique keys whose time is over.
    /// Returns how many jobs went; `limit` or more where there may be more to do.
    ///
    /// # Errors
    /// A failing store.
    async fn prune(&self, queue: &str, retention: Retention, limit: usize) -> Result<usize, BrokerError>;

    /// Waits until one of `queues` has work or `timeout` has passed. May return early. Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// A failing store.
    async fn wait(&self, queues: &[String], timeout: Duration) -> Result<Wake, BrokerError>;

    /// Reads one job.
    ///
    /// # Errors
    /// A failing store.
    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError>;

    /// Reads a job's log, oldest line first.
    ///
    /// # Errors
    /// A failing store.
    async fn logs(&self, queue: &str, id: &JobId) -> Result<Vec<LogLine>, BrokerError>;

    /// Reads a page of the jobs in `state`: those next in line first, of finished ones the latest
    /// first. A job that changes state between two pages may be missed or seen twice.
    ///
    /// # Errors
    /// A failing store.
    async fn list(&self, queue: &str, state: State, cursor: Option<Cursor>, limit: usize) -> Result<Page, BrokerError>;

    /// Counts by state and lifetime totals, at a cost that doesn't grow with the queue.
    ///
    /// # Errors
    /// A failing store.
    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError>;

    /// Reads counts and settings of several queues, in the order of `queues`. SQLite takes one
    /// statement for all of them, and Redis sends its requests side by side. The default
    /// implementation asks queue by queue. A queue that doesn't exist has no jobs and the default
    /// settings.
    ///
    /// # Errors
    /// A failing store.
    async fn overviews(&self, queues: &[&str]) -> Result<Vec<QueueOverview>, BrokerError> {
        let mut overviews = Vec::with_capacity(queues.len());
        for queue in queues {
            overviews.push(QueueOverview::new(self.counts(queue).await?, self.settings(queue).await?));
        }
        Ok(overviews)
    }

    /// Reads the running jobs of several queues, at most `limit` of each, in the order of `queues`.
    /// SQLite takes one statement for all of them, and Redis sends its requests side by side. The
    /// default implementation asks queue by queue.
    ///
    /// # Errors
    /// A failing store.
    async fn running(&self, queues: &[&str], limit: usize) -> Result<Vec<JobRecord>, BrokerError> {
        let mut running = Vec::new();
        for queue in queues {
            running.extend(self.list(queue, State::Leased, None, limit).await?.items);
        }
        Ok(running)
    }

    /// Names of all queues, sorted.
    ///
    /// # Errors
    /// A failing store.
    async fn queues(&self) -> Result<Vec<String>, BrokerError>;

    /// Stops leasing. Running jobs go on.
    ///
    /// # Errors
    /// [`BrokerError::QueueName`] for a bad name, or a failing store.
    async fn pause(&self, queue: &str) -> Result<(), BrokerError>;

    /// Leases again.
    ///
    /// # Errors
    /// [`BrokerError::QueueName`] for a bad name, or a failing store.
    async fn resume(&self, queue: &str) -> Result<(), BrokerError>;

    /// Sets what holds for all workers of a queue.
    ///
    /// # Errors
    /// [`BrokerError::QueueName`] for a bad name, or a failing store.
    async fn configure(&self, queue: &str, settings: QueueSettings) -> Result<(), BrokerError>;

    /// Reads what was [`configure`](Self::configure)d.
    ///
    /// # Errors
    /// A failing store.
    async fn settings(&self, queue: &str) -> Result<QueueSettings, BrokerError>;

    /// Reads events after `after`, oldest first; `None` reads none, and begins with what happens next. Kept are those of queues
    /// whose [`QueueSettings::events`] is set, about the last 10,000.
    ///
    /// # Errors
    /// A failing store.
    async fn events(&self, queue: &str, after: Option<EventCursor>, limit: usize) -> Result<EventPage, BrokerError>;

    /// Counts the jobs of a group. `None` where the queue has never met it.
    ///
    /// # Errors
    /// A failing store.
    async fn group(&self, queue: &str, group: &GroupId) -> Result<Option<GroupCounts>, BrokerError>;

    /// Forgets the counts of a group.
    ///
    /// # Errors
    /// A failing store.
    async fn forget_group(&self, queue: &str, group: &GroupId) -> Result<(), BrokerError>;

    /// Cancels jobs that have not started, at most `limit`: those next in line first, then the delayed and the waiting ones.
    /// Returns how many.
    ///
    /// # Errors
    /// A failing store.
    async fn drain(&self, queue: &str, limit: usize) -> Result<usize, BrokerError>;

    /// Makes dead jobs ready with fresh attempts, at most `limit`, oldest first. Returns how many.
    ///
    /// # Errors
    /// A failing store.
    async fn retry_dead(&self, queue: &str, limit: usize) -> Result<usize, BrokerError>;

    /// Cancels a waiting job, or asks the worker of a running one to stop.
    ///
    /// # Errors
    /// A failing store.
    async fn cancel(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError>;

    /// Makes a dead, cancelled or delayed job ready now; the first two with fresh attempts.
    ///
    /// # Errors
    /// A failing store.
    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError>;

    /// Removes jobs that are done, dead or cancelled, with their records and logs. Counts of groups
    /// and lifetime totals stay. Answers are in the order of `ids`: [`Change::Refused`] for a job
    /// that has not ended. Redis removes at most 20 jobs of one partition in one script, because
    /// each may cost a search of the whole list of done jobs.
    ///
    /// # Errors
    /// A failing store; some of the jobs may have been removed. Redis goes on with the other
    /// partitions and returns the first error. It is safe to repeat the call.
    async fn remove(&self, queue: &str, ids: &[JobId]) -> Result<Vec<Change>, BrokerError>;

    /// Removes finished jobs that finished more than `older_than` ago, at most `limit`, oldest first.
    /// Returns how many went.
    ///
    /// # Errors
    /// A failing store.
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
    /// A failing store.
    async fn announce(&self, worker: WorkerInfo) -> Result<(), BrokerError>;

    /// Forgets a worker that ended.
    ///
    /// # Errors
    /// A failing store.
    async fn withdraw(&self, worker: &WorkerId) -> Result<(), BrokerError>;

    /// Workers seen within the last hour, by identity, including those that are [lost](WorkerInfo::is_lost).
    ///
    /// # Errors
    /// A failing store.
    async fn workers(&self) -> Result<Vec<WorkerInfo>, BrokerError>;
}

/// Largest checkpoint, in bytes.
pub(crate) const CHECKPOINT_LIMIT: usize = 64 << 10;

/// How long a silent worker is remembered.
pub(crate) const WORKER_MEMORY: Duration = Duration::from_secs(3600);
