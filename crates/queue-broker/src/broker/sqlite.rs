//! Jobs in a SQLite file, shared by the processes of one machine.
//!
//! All writes of a process go through one connection on its own thread, which commits the waiting
//! calls as one transaction. So a starved runtime can't hold the file's lock, a dropped caller
//! can't tear a step, and concurrent callers share an fsync. Reads use a small pool. Changes of
//! other processes are detected by polling `PRAGMA data_version`: a few microseconds every 15 ms
//! while a caller waits.

mod actions;
mod chunk;
mod documents;
mod error;
mod events;
mod fetch;
#[cfg(test)]
mod fuzz;
mod in_place;
mod insert;
mod keyed;
mod links;
mod open;
mod read;
mod reclaim;
mod records;
mod row;
mod schema;
mod settle;
mod sql;
mod transition;
mod workers;
mod writer;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlitePool;
use tidegate_clock::Clock;
use tokio::sync::watch;

use crate::broker::admission::admit;
use crate::broker::documents::{check_body, check_size};
use crate::broker::wait::wait;
use crate::broker::{
    Broker, CHECKPOINT_LIMIT, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch,
    GroupCounts, NewJob, Page, Promoted, QueueCounts, QueueOverview, QueueSettings, Reclaim, Reclaimed, Retention,
    Stored, Wake, WorkerInfo,
};
use crate::error::BrokerError;
use crate::id::{GroupId, JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::name::check_queue_name;
use crate::record::{JobRecord, LogLine, Progress, shortened};
use crate::state::JobState;
use crate::timestamp::Timestamp;
pub use in_place::OpenFile;
use open::Opened;
pub use open::{Durability, OpenError, SqliteOptions};
use writer::Writer;

/// Durable jobs in one SQLite file. See [`SqliteOptions`] for the options.
///
/// If the file is deleted, moved or replaced while it is open, writes fail until the process is
/// restarted.
///
/// Cost: a commit is one fsync under [`Durability::Full`], shared by the calls that wait for it.
/// Enqueueing and settling use one statement for 500 jobs.
pub struct SqliteBroker {
    clock: Clock,
    readers: SqlitePool,
    writer: Writer,
    changes: watch::Receiver<()>,
    file: OpenFile,
}

impl SqliteBroker {
    /// Opens the file, or creates it. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file. The file is left unchanged.
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let Opened { clock, readers, writer, changes, file } = open::open(path.as_ref(), options).await?;
        Ok(Self { clock, readers, writer, changes, file })
    }

    /// Returns an error if the file was deleted, moved or replaced while it is open: data written
    /// to it would be lost with the process. Each write checks this first.
    ///
    /// # Errors
    /// The error contains the path and how to fix it.
    pub fn ensure_in_place(&self) -> std::io::Result<()> {
        self.file.ensure_in_place()
    }

    /// Finishes the waiting calls and closes the file. Later calls fail with
    /// [`BrokerError::Closed`].
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl Documents for SqliteBroker {
    async fn document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError> {
        documents::one(&self.readers, collection, name).await
    }

    async fn put_document(
        &self,
        collection: &str,
        name: &str,
        expected: Option<u64>,
        body: Option<String>,
    ) -> Result<bool, BrokerError> {
        check_body(body.as_deref())?;
        let (collection, name) = (collection.to_owned(), name.to_owned());
        self.writer.run(documents::Put { collection, name, expected, body }).await
    }

    async fn documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError> {
        documents::all(&self.readers, collection).await
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    async fn now(&self) -> Result<Timestamp, BrokerError> {
        Ok(Timestamp::now(&self.clock))
    }

    async fn checkpoint(&self, queue: &str, token: &LeaseToken, checkpoint: String) -> Result<bool, BrokerError> {
        check_size("checkpoint", &checkpoint, CHECKPOINT_LIMIT)?;
        let (queue, token) = (queue.to_owned(), token.clone());
        self.writer.run(records::StoreCheckpoint { queue, token, checkpoint }).await
    }

    async fn log(&self, queue: &str, token: &LeaseToken, lines: Vec<String>) -> Result<bool, BrokerError> {
        let lines = lines.into_iter().map(shortened).collect();
        self.writer.run(records::WriteLog { queue: queue.to_owned(), token: token.clone(), lines }).await
    }

    async fn logs(&self, queue: &str, id: &JobId) -> Result<Vec<LogLine>, BrokerError> {
        records::logs(&self.readers, queue, id).await
    }

    async fn configure(&self, queue: &str, settings: QueueSettings) -> Result<(), BrokerError> {
        check_queue_name(queue)?;
        self.writer.run(actions::Configure { queue: queue.to_owned(), settings }).await
    }

    async fn settings(&self, queue: &str) -> Result<QueueSettings, BrokerError> {
        Ok(read::overview(&self.readers, queue, Timestamp::now(&self.clock)).await?.settings)
    }

    async fn events(&self, queue: &str, after: Option<EventCursor>, limit: usize) -> Result<EventPage, BrokerError> {
        events::after(&self.readers, queue, after, limit).await
    }

    async fn group(&self, queue: &str, group: &GroupId) -> Result<Option<GroupCounts>, BrokerError> {
        read::group(&self.readers, queue, group).await
    }

    async fn forget_group(&self, queue: &str, group: &GroupId) -> Result<(), BrokerError> {
        self.writer.run(actions::ForgetGroup { queue: queue.to_owned(), group: group.clone() }).await
    }

    async fn drain(&self, queue: &str, limit: usize) -> Result<usize, BrokerError> {
        self.writer.run(actions::Drain { queue: queue.to_owned(), limit }).await
    }

    async fn retry_dead(&self, queue: &str, limit: usize) -> Result<usize, BrokerError> {
        self.writer.run(actions::RetryDead { queue: queue.to_owned(), limit }).await
    }

    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, BrokerError> {
        check_queue_name(queue)?;
        admit(self, queue, &jobs).await?;
        self.writer.run(fetch::Enqueue { queue: queue.to_owned(), jobs }).await
    }

    async fn ack_and_fetch(
        &self,
        queue: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError> {
        self.writer.run(fetch::AckAndFetch { queue: queue.to_owned(), acks, fetch }).await
    }

    async fn nack(&self, queue: &str, nacks: Vec<Nack>) -> Result<Vec<Settled>, BrokerError> {
        self.writer.run(settle::NackAll { queue: queue.to_owned(), nacks }).await
    }

    async fn heartbeat(&self, queue: &str, tokens: Vec<LeaseToken>, lease: Duration) -> Result<Heartbeat, BrokerError> {
        self.writer.run(settle::Extend { queue: queue.to_owned(), tokens, lease }).await
    }

    async fn progress(&self, queue: &str, token: &LeaseToken, progress: Progress) -> Result<bool, BrokerError> {
        let token = token.clone();
        self.writer.run(settle::StoreProgress { queue: queue.to_owned(), token, progress }).await
    }

    async fn promote(&self, queue: &str, limit: usize) -> Result<Promoted, BrokerError> {
        self.writer.run(reclaim::Promote { queue: queue.to_owned(), limit }).await
    }

    async fn reclaim(&self, queue: &str, request: Reclaim) -> Result<Reclaimed, BrokerError> {
        self.writer.run(reclaim::ReclaimExpired { queue: queue.to_owned(), request }).await
    }

    async fn prune(&self, queue: &str, retention: Retention, limit: usize) -> Result<usize, BrokerError> {
        self.writer.run(actions::Prune { queue: queue.to_owned(), retention, limit }).await
    }

    async fn wait(&self, queues: &[String], timeout: Duration) -> Result<Wake, BrokerError> {
        let look = |queue| read::work(&self.readers, queue, Timestamp::now(&self.clock));
        wait(&self.clock, self.changes.clone(), queues, timeout, look).await
    }

    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
        read::job(&self.readers, queue, id).await
    }

    async fn list(
        &self,
        queue: &str,
        state: JobState,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        read::list(&self.readers, queue, state, cursor, limit).await
    }

    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError> {
        Ok(read::overview(&self.readers, queue, Timestamp::now(&self.clock)).await?.counts)
    }

    async fn overviews(&self, queues: &[&str]) -> Result<Vec<QueueOverview>, BrokerError> {
        read::overviews(&self.readers, queues, Timestamp::now(&self.clock)).await
    }

    async fn running(&self, queues: &[&str], limit: usize) -> Result<Vec<JobRecord>, BrokerError> {
        read::running(&self.readers, queues, limit).await
    }

    async fn queues(&self) -> Result<Vec<String>, BrokerError> {
        read::queues(&self.readers).await
    }

    async fn pause(&self, queue: &str) -> Result<(), BrokerError> {
        check_queue_name(queue)?;
        self.writer.run(actions::SetPaused { queue: queue.to_owned(), paused: true }).await
    }

    async fn resume(&self, queue: &str) -> Result<(), BrokerError> {
        check_queue_name(queue)?;
        self.writer.run(actions::SetPaused { queue: queue.to_owned(), paused: false }).await
    }

    async fn cancel(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        let (queue, id) = (queue.to_owned(), id.clone());
        self.writer.run(actions::ChangeOne { queue, id, change: actions::JobChange::Cancel }).await
    }

    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        let (queue, id) = (queue.to_owned(), id.clone());
        self.writer.run(actions::ChangeOne { queue, id, change: actions::JobChange::Revive }).await
    }

    async fn remove(&self, queue: &str, ids: &[JobId]) -> Result<Vec<Change>, BrokerError> {
        self.writer.run(actions::Remove { queue: queue.to_owned(), ids: ids.to_vec() }).await
    }

    async fn clean(
        &self,
        queue: &str,
        state: CleanableState,
        older_than: Duration,
        limit: usize,
    ) -> Result<usize, BrokerError> {
        let (queue, state) = (queue.to_owned(), state.into());
        self.writer.run(actions::Clean { queue, state, older_than, limit }).await
    }

    async fn announce(&self, worker: WorkerInfo) -> Result<(), BrokerError> {
        self.writer.run(workers::Announce { worker }).await
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), BrokerError> {
        self.writer.run(workers::Withdraw { worker: worker.clone() }).await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, BrokerError> {
        workers::seen(&self.readers, Timestamp::now(&self.clock)).await
    }
}
