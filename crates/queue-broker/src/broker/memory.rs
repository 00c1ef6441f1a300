//! Jobs in memory: the same guarantees within one process, for tests and temporary work.

mod queue;

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_clock::Clock;
use tokio::sync::watch;

use crate::broker::admission::admit;
use crate::broker::documents::{check_body, check_size};
use crate::broker::wait::wait;
use crate::broker::{
    Broker, CHECKPOINT_LIMIT, Change, CleanableState, Cursor, Document, Documents, EventCursor, EventPage, Fetch,
    GroupCounts, NewJob, Page, Promoted, QueueCounts, QueueSettings, Reclaim, Reclaimed, Retention, Stored,
    WORKER_MEMORY, Wake, WorkerInfo,
};
use crate::error::BrokerError;
use crate::id::{GroupId, JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::name::check_queue_name;
use crate::record::{JobRecord, LogLine, Progress};
use crate::state::JobState;
use crate::timestamp::Timestamp;
use queue::Queue;

/// Jobs in memory. They are lost when the process ends. Every step holds one lock, for O(batch ×
/// log queue).
pub struct MemoryBroker {
    clock: Clock,
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    queues: BTreeMap<String, Queue>,
    workers: BTreeMap<WorkerId, WorkerInfo>,
    documents: BTreeMap<(String, String), Document>,
    /// Revision of the latest document.
    revision: u64,
}

impl MemoryBroker {
    /// Creates an empty broker with the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// Creates an empty broker with another clock. Due times, lease deadlines and history are read
    /// from its wall time.
    pub fn with_clock(clock: impl Into<Clock>) -> Self {
        Self { clock: clock.into(), inner: Mutex::default(), changes: watch::Sender::new(()) }
    }

    /// When a queue next has something to do because of the time alone.
    #[doc(hidden)]
    pub fn next_due(&self, queue: &str) -> Option<Timestamp> {
        let now = Timestamp::now(&self.clock);
        self.read(queue, |queue| queue.outlook(now).1)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one step on a queue if it exists, and wakes waiting callers.
    fn step<T: Default>(&self, queue: &str, step: impl FnOnce(&mut Queue, Timestamp) -> T) -> T {
        let now = Timestamp::now(&self.clock);
        let answer = self.lock().queues.get_mut(queue).map(|queue| step(queue, now));
        self.changes.send_replace(());
        answer.unwrap_or_default()
    }

    fn read<T: Default>(&self, queue: &str, read: impl FnOnce(&Queue) -> T) -> T {
        self.lock().queues.get(queue).map(read).unwrap_or_default()
    }

    /// Runs one step on a queue, which is created if it doesn't exist.
    fn step_or_make<T>(&self, queue: &str, step: impl FnOnce(&mut Queue, Timestamp) -> T) -> Result<T, BrokerError> {
        check_queue_name(queue)?;
        let now = Timestamp::now(&self.clock);
        let answer = step(self.lock().queues.entry(queue.to_owned()).or_insert_with(|| Queue::new(now)), now);
        self.changes.send_replace(());
        Ok(answer)
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Documents for MemoryBroker {
    async fn document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError> {
        Ok(self.lock().documents.get(&(collection.to_owned(), name.to_owned())).cloned())
    }

    async fn put_document(
        &self,
        collection: &str,
        name: &str,
        expected: Option<u64>,
        body: Option<String>,
    ) -> Result<bool, BrokerError> {
        check_body(body.as_deref())?;
        let mut inner = self.lock();
        let key = (collection.to_owned(), name.to_owned());
        if inner.documents.get(&key).map(|document| document.revision) != expected {
            return Ok(false);
        }
        inner.revision += 1;
        let revision = inner.revision;
        match body {
            Some(body) => inner.documents.insert(key, Document { revision, body }),
            None => inner.documents.remove(&key),
        };
        Ok(true)
    }

    async fn documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError> {
        let inner = self.lock();
        let from = (collection.to_owned(), String::new());
        let all = inner.documents.range(from..).take_while(|((of, _), _)| of == collection);
        Ok(all.map(|((_, name), document)| (name.clone(), document.clone())).collect())
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn now(&self) -> Result<Timestamp, BrokerError> {
        Ok(Timestamp::now(&self.clock))
    }

    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, BrokerError> {
        admit(self, queue, &jobs).await?;
        self.step_or_make(queue, |queue, now| jobs.into_iter().map(|job| queue.enqueue(job, now)).collect())
    }

    async fn ack_and_fetch(
        &self,
        queue: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError> {
        let count = acks.len();
        let (mut settled, leased) = self.step(queue, |queue, now| {
            let settled = acks.into_iter().map(|ack| queue.ack(ack, now)).collect::<Vec<_>>();
            (settled, queue.fetch(&fetch, now))
        });
        settled.resize(count, Settled::Superseded);
        Ok((settled, leased))
    }

    async fn nack(&self, queue: &str, nacks: Vec<Nack>) -> Result<Vec<Settled>, BrokerError> {
        let count = nacks.len();
        let mut settled =
            self.step(queue, |queue, now| nacks.into_iter().map(|nack| queue.nack(nack, now)).collect::<Vec<_>>());
        settled.resize(count, Settled::Superseded);
        Ok(settled)
    }

    async fn heartbeat(&self, queue: &str, tokens: Vec<LeaseToken>, lease: Duration) -> Result<Heartbeat, BrokerError> {
        let now = Timestamp::now(&self.clock);
        Ok(match self.lock().queues.get_mut(queue) {
            Some(queue) => queue.heartbeat(tokens, lease, now),
            None => Heartbeat { lost: tokens, cancelled: Vec::new() },
        })
    }

    async fn progress(&self, queue: &str, token: &LeaseToken, progress: Progress) -> Result<bool, BrokerError> {
        Ok(self.step(queue, |queue, now| queue.progress(token, progress, now)))
    }

    async fn checkpoint(&self, queue: &str, token: &LeaseToken, checkpoint: String) -> Result<bool, BrokerError> {
        check_size("checkpoint", &checkpoint, CHECKPOINT_LIMIT)?;
        Ok(self.step(queue, |queue, _| queue.checkpoint(token, checkpoint)))
    }

    async fn log(&self, queue: &str, token: &LeaseToken, lines: Vec<String>) -> Result<bool, BrokerError> {
        Ok(self.step(queue, |queue, now| queue.log(token, lines, now)))
    }

    async fn promote(&self, queue: &str, limit: usize) -> Result<Promoted, BrokerError> {
        let promoted = self.step(queue, |queue, now| Some(queue.promote(limit, now)));
        Ok(promoted.unwrap_or(Promoted { moved: 0, next_due: None }))
    }

    async fn reclaim(&self, queue: &str, request: Reclaim) -> Result<Reclaimed, BrokerError> {
        Ok(self.step(queue, |queue, now| queue.reclaim(request, now)))
    }

    async fn prune(&self, queue: &str, retention: Retention, limit: usize) -> Result<usize, BrokerError> {
        Ok(self.step(queue, |queue, now| queue.prune(retention, limit, now)))
    }

    async fn wait(&self, queues: &[String], timeout: Duration) -> Result<Wake, BrokerError> {
        let look = |queue| ready(Ok(self.read(queue, |queue| queue.outlook(Timestamp::now(&self.clock)))));
        wait(&self.clock, self.changes.subscribe(), queues, timeout, look).await
    }

    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
        Ok(self.read(queue, |stored| stored.record(queue, id)))
    }

    async fn logs(&self, queue: &str, id: &JobId) -> Result<Vec<LogLine>, BrokerError> {
        Ok(self.read(queue, |queue| queue.logs(id)))
    }

    async fn list(
        &self,
        queue: &str,
        state: JobState,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, BrokerError> {
        Ok(self.read(queue, |stored| stored.list(queue, state, cursor, limit)))
    }

    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError> {
        let now = Timestamp::now(&self.clock);
        Ok(self.read(queue, |queue| queue.counts(now)))
    }

    async fn queues(&self) -> Result<Vec<String>, BrokerError> {
        Ok(self.lock().queues.keys().cloned().collect())
    }

    async fn pause(&self, queue: &str) -> Result<(), BrokerError> {
        self.step_or_make(queue, |queue, _| queue.paused = true)
    }

    async fn resume(&self, queue: &str) -> Result<(), BrokerError> {
        self.step_or_make(queue, |queue, _| queue.paused = false)
    }

    async fn configure(&self, queue: &str, settings: QueueSettings) -> Result<(), BrokerError> {
        self.step_or_make(queue, |queue, now| queue.configure(settings, now))
    }

    async fn settings(&self, queue: &str) -> Result<QueueSettings, BrokerError> {
        Ok(self.read(queue, Queue::settings))
    }

    async fn events(&self, queue: &str, after: Option<EventCursor>, limit: usize) -> Result<EventPage, BrokerError> {
        let inner = self.lock();
        let none = Queue::default();
        Ok(inner.queues.get(queue).unwrap_or(&none).events.after(after.as_ref(), limit))
    }

    async fn group(&self, queue: &str, group: &GroupId) -> Result<Option<GroupCounts>, BrokerError> {
        Ok(self.read(queue, |queue| queue.groups.get(group).copied()))
    }

    async fn forget_group(&self, queue: &str, group: &GroupId) -> Result<(), BrokerError> {
        self.step(queue, |queue, _| queue.groups.remove(group));
        Ok(())
    }

    async fn drain(&self, queue: &str, limit: usize) -> Result<usize, BrokerError> {
        Ok(self.step(queue, |queue, now| queue.drain(limit, now)))
    }

    async fn retry_dead(&self, queue: &str, limit: usize) -> Result<usize, BrokerError> {
        Ok(self.step(queue, |queue, now| queue.retry_dead(limit, now)))
    }

    async fn cancel(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        let change = self.step(queue, |queue, now| Some(queue.cancel(id, now)));
        Ok(change.unwrap_or(Change::NotFound))
    }

    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        let change = self.step(queue, |queue, now| Some(queue.revive(id, now)));
        Ok(change.unwrap_or(Change::NotFound))
    }

    async fn remove(&self, queue: &str, ids: &[JobId]) -> Result<Vec<Change>, BrokerError> {
        Ok(ids
            .iter()
            .map(|id| self.step(queue, |queue, _| Some(queue.remove(id))).unwrap_or(Change::NotFound))
            .collect())
    }

    async fn clean(
        &self,
        queue: &str,
        state: CleanableState,
        older_than: Duration,
        limit: usize,
    ) -> Result<usize, BrokerError> {
        Ok(self.step(queue, |queue, now| queue.remove_oldest(state.into(), now.before(older_than), limit)))
    }

    async fn announce(&self, mut worker: WorkerInfo) -> Result<(), BrokerError> {
        let now = Timestamp::now(&self.clock);
        worker.last_seen = now;
        let mut inner = self.lock();
        inner.workers.retain(|_, other| now.since(other.last_seen) < WORKER_MEMORY);
        inner.workers.insert(worker.id.clone(), worker);
        Ok(())
    }

    async fn withdraw(&self, worker: &WorkerId) -> Result<(), BrokerError> {
        self.lock().workers.remove(worker);
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, BrokerError> {
        let now = Timestamp::now(&self.clock);
        let inner = self.lock();
        let seen = inner.workers.values().filter(|w| now.since(w.last_seen) < WORKER_MEMORY);
        Ok(seen.cloned().collect())
    }
}
