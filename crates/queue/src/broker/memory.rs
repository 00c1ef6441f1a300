//! Jobs in memory: the same promises within one process, for tests and throw-away work.

mod queue;

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::broker::wait::wait;
use crate::broker::{
    Broker, Change, CleanableState, Cursor, Fetch, NewJob, Page, Promoted, QueueCounts, Reclaim, Reclaimed, Retention,
    WORKER_MEMORY, Wake,
};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::BrokerError;
use crate::id::{JobId, WorkerId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::name::check_queue_name;
use crate::record::{JobRecord, Progress};
use crate::state::State;
use crate::worker::WorkerInfo;
use queue::Queue;

/// Jobs in memory, gone with the process. Every step takes one lock for O(batch × log queue).
pub struct MemoryBroker {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    queues: BTreeMap<String, Queue>,
    workers: BTreeMap<WorkerId, WorkerInfo>,
}

impl MemoryBroker {
    /// An empty broker on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty broker on another clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), inner: Mutex::default(), changes: watch::Sender::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one step on a queue that exists, and wakes who waits.
    fn step<T: Default>(&self, queue: &str, step: impl FnOnce(&mut Queue, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let answer = self.lock().queues.get_mut(queue).map(|queue| step(queue, now));
        self.changes.send_replace(());
        answer.unwrap_or_default()
    }

    fn read<T: Default>(&self, queue: &str, read: impl FnOnce(&Queue) -> T) -> T {
        self.lock().queues.get(queue).map(read).unwrap_or_default()
    }

    /// Runs one step on a queue, made where it doesn't exist.
    fn step_or_make<T>(&self, queue: &str, step: impl FnOnce(&mut Queue, Timestamp) -> T) -> Result<T, BrokerError> {
        check_queue_name(queue)?;
        let now = self.clock.now();
        let answer = step(self.lock().queues.entry(queue.to_owned()).or_default(), now);
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
impl Broker for MemoryBroker {
    async fn enqueue(&self, queue: &str, jobs: Vec<NewJob>) -> Result<usize, BrokerError> {
        self.step_or_make(queue, |queue, now| queue.enqueue(jobs, now))
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
        let now = self.clock.now();
        Ok(match self.lock().queues.get_mut(queue) {
            Some(queue) => queue.heartbeat(tokens, now.after(lease)),
            None => Heartbeat { lost: tokens, cancelled: Vec::new() },
        })
    }

    async fn progress(&self, queue: &str, token: &LeaseToken, progress: Progress) -> Result<bool, BrokerError> {
        Ok(self.lock().queues.get_mut(queue).is_some_and(|queue| queue.progress(token, progress)))
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
        let look = |queue| ready(Ok(self.read(queue, |queue| (queue.has_work(), queue.next_due()))));
        wait(&*self.clock, self.changes.subscribe(), queues, timeout, look).await
    }

    async fn job(&self, queue: &str, id: &JobId) -> Result<Option<JobRecord>, BrokerError> {
        Ok(self.read(queue, |stored| stored.record(queue, id)))
    }

    async fn list(&self, queue: &str, state: State, cursor: Option<Cursor>, limit: usize) -> Result<Page, BrokerError> {
        Ok(self.read(queue, |stored| stored.list(queue, state, cursor, limit)))
    }

    async fn counts(&self, queue: &str) -> Result<QueueCounts, BrokerError> {
        let now = self.clock.now();
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

    async fn cancel(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        let change = self.step(queue, |queue, now| queue.change(id, |job| job.cancel(now)));
        Ok(change.unwrap_or(Change::NotFound))
    }

    async fn retry(&self, queue: &str, id: &JobId) -> Result<Change, BrokerError> {
        let change = self.step(queue, |queue, now| queue.change(id, |job| job.revive(now)));
        Ok(change.unwrap_or(Change::NotFound))
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
        let now = self.clock.now();
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
        let now = self.clock.now();
        let inner = self.lock();
        let seen = inner.workers.values().filter(|w| now.since(w.last_seen) < WORKER_MEMORY);
        Ok(seen.cloned().collect())
    }
}
