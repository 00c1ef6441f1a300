//! Jobs in a SQLite file of their own, shared by the processes of one machine.
//!
//! All writes of a process go through one connection on a thread of its own, which commits what
//! waits as one transaction: a starved runtime can't hold the file's lock, a dropped caller can't
//! tear a step, and concurrent callers share an fsync. Reads use a small pool. Other processes are
//! heard by polling `PRAGMA data_version`, a few microseconds every 15 ms while somebody waits.

mod actions;
mod fetch;
mod open;
mod read;
mod reclaim;
mod row;
mod schema;
mod settle;
mod sql;
mod workers;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlitePool;
use tokio::sync::watch;

use crate::broker::wait::wait;
use crate::broker::{
    Broker, Change, CleanableState, Cursor, Fetch, NewJob, Page, Promoted, QueueCounts, Reclaim, Reclaimed, Retention,
    Wake,
};
use crate::clock::Clock;
use crate::error::BrokerError;
use crate::id::{JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::name::check_queue_name;
use crate::record::{JobRecord, Progress};
use crate::state::State;
use crate::worker::WorkerInfo;
pub use open::{Durability, OpenError, SqliteOptions};
use writer::Writer;

/// Durable jobs in one SQLite file. See [`SqliteOptions`] for what can be chosen.
///
/// Cost: a commit is one fsync under [`Durability::Full`], shared by the calls that wait for it;
/// enqueueing and settling take one statement for 500 jobs.
pub struct SqliteBroker {
    clock: Arc<dyn Clock>,
    readers: SqlitePool,
    writer: Writer,
    changes: watch::Receiver<()>,
}

impl SqliteBroker {
    /// Opens the file, or makes it. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file; it was left as it is.
    pub async fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        open::open(path.as_ref(), options).await
    }

    /// Finishes what waits and closes the file. Later calls fail with [`BrokerError::Closed`].
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl crate::broker::Documents for SqliteBroker {
    async fn document(&self, _: &str, _: &str) -> Result<Option<crate::broker::Document>, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn put_document(&self, _: &str, _: &str, _: Option<u64>, _: Option<String>) -> Result<bool, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn documents(&self, _: &str) -> Result<Vec<(String, crate::broker::Document)>, BrokerError> {
        Err(BrokerError::Closed)
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    async fn now(&self) -> Result<crate::clock::Timestamp, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn checkpoint(&self, _: &str, _: &LeaseToken, _: String) -> Result<bool, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn log(&self, _: &str, _: &LeaseToken, _: Vec<String>) -> Result<bool, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn logs(&self, _: &str, _: &JobId) -> Result<Vec<crate::record::LogLine>, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn configure(&self, _: &str, _: crate::broker::QueueSettings) -> Result<(), BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn settings(&self, _: &str) -> Result<crate::broker::QueueSettings, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn events(
        &self,
        _: &str,
        _: Option<crate::broker::EventCursor>,
        _: usize,
    ) -> Result<crate::broker::EventPage, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn group(&self, _: &str, _: &crate::id::GroupId) -> Result<Option<crate::broker::GroupCounts>, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn forget_group(&self, _: &str, _: &crate::id::GroupId) -> Result<(), BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn drain(&self, _: &str, _: usize) -> Result<usize, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn retry_dead(&self, _: &str, _: usize) -> Result<usize, BrokerError> {
        Err(BrokerError::Closed)
    }

    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<crate::broker::Stored>, BrokerError> {
        check_queue_name(queue)?;
        let count = jobs.len();
        self.writer.run(fetch::Enqueue { queue: queue.to_owned(), jobs }).await?;
        Ok(vec![crate::broker::Stored::New; count])
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
        let look = |queue| read::work(&self.readers, queue);
        wait(&*self.clock, self.changes.clone(), queues, timeout, look).await
    }

    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
        read::job(&self.readers, queue, id).await
    }

    async fn list(&self, queue: &str, state: State, cursor: Option<Cursor>, limit: usize) -> Result<Page, BrokerError> {
        read::list(&self.readers, queue, state, cursor, limit).await
    }

    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError> {
        read::counts(&self.readers, queue, self.clock.now()).await
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
        self.writer.run(actions::ChangeOne { queue, id, wish: actions::Wish::Cancel }).await
    }

    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        let (queue, id) = (queue.to_owned(), id.clone());
        self.writer.run(actions::ChangeOne { queue, id, wish: actions::Wish::Revive }).await
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
        workers::seen(&self.readers, self.clock.now()).await
    }
}

/// Turns the store's error into ours.
pub(super) fn failed(operation: &'static str, error: Arc<sqlx::Error>) -> BrokerError {
    if matches!(*error, sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed) {
        return BrokerError::Closed;
    }
    let transient = matches!(*error, sqlx::Error::PoolTimedOut)
        || matches!(open::primary_code(&error), Some(open::BUSY | open::LOCKED | open::FULL | open::IO));
    BrokerError::Store { operation, transient, source: Box::new(error) }
}
