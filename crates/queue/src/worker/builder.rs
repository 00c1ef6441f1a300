//! Describing a worker, checked before it starts.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Shared, Worker};
use crate::broker::{Broker, Retention};
use crate::error::BuildError;
use crate::event::{IgnoreEvents, Observer};
use crate::handler::Handler;
use crate::id::WorkerId;
use crate::job::Job;
use crate::maintenance::LeaseBook;
use crate::name::check_queue_name;
use crate::registry::Registry;
use crate::retry::RetryPolicy;

/// How one queue is served.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct QueueOptions {
    pub(crate) concurrency: usize,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) max_lost_leases: u32,
    pub(crate) retention: Retention,
}

impl QueueOptions {
    /// 10 at once, 30 minutes a run, the default retry policy, 5 lost leases, default retention.
    pub fn new() -> Self {
        Self {
            concurrency: 10,
            timeout: Duration::from_secs(30 * 60),
            retry: RetryPolicy::default(),
            max_lost_leases: 5,
            retention: Retention::default(),
        }
    }

    /// Sets how many jobs run at once in this worker; zero counts as one.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs.max(1);
        self
    }

    /// Sets the longest run, where the job sets none. Running out counts as a failure.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how failures are repeated; a job may set its own number of attempts.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets how many leases a job may lose before it counts as one that kills its workers and is
    /// dead; zero counts as one. A run whose progress passes the highest percentage so far starts the count anew.
    pub fn max_lost_leases(mut self, leases: u32) -> Self {
        self.max_lost_leases = leases.max(1);
        self
    }

    /// Sets how long finished jobs are kept.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Describes a [`Worker`].
#[must_use]
pub struct WorkerBuilder {
    broker: Arc<dyn Broker>,
    observer: Arc<dyn Observer>,
    queues: Vec<(String, QueueOptions)>,
    handlers: Registry,
    duplicate: Option<&'static str>,
    lease: Duration,
    grace: Duration,
    patience: Duration,
    unknown_delay: Duration,
}

impl WorkerBuilder {
    pub(super) fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            observer: Arc::new(IgnoreEvents),
            queues: Vec::new(),
            handlers: Registry::default(),
            duplicate: None,
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(25),
            patience: Duration::from_secs(1),
            unknown_delay: Duration::from_secs(30),
        }
    }

    /// Serves a queue.
    pub fn queue(mut self, name: &str, options: QueueOptions) -> Self {
        self.queues.push((name.to_owned(), options));
        self
    }

    /// Runs jobs of one kind, from whichever queue. Jobs of a kind without handler go back delayed,
    /// with a note, for a worker that knows them.
    pub fn handler<J: Job, H: Handler<J>>(mut self, handler: H) -> Self {
        if !self.handlers.add::<J, H>(handler) {
            self.duplicate = Some(J::KIND);
        }
        self
    }

    /// Sets the lease, 30 s by default: how long after a crash its jobs stay away at least. Renewed
    /// each third of it, or each 5 s where that is sooner, which is also how soon a cancellation is
    /// seen. Give all workers of a queue the same: each reclaims by its own after a pause or a jump of
    /// the clock.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long running jobs may go on after a shutdown began, 25 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long a run that was told to stop (cancelled, out of time, its lease lost, the grace
    /// over) may take to end by itself before it is aborted, 1 s by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how long a job of unknown kind stays away, 30 s by default.
    pub fn unknown_delay(mut self, delay: Duration) -> Self {
        self.unknown_delay = delay;
        self
    }

    /// Sets who hears of it.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Checks the description.
    ///
    /// # Errors
    /// [`BuildError`] names the fault.
    pub fn build(self) -> Result<Worker, BuildError> {
        if self.queues.is_empty() {
            return Err(BuildError::NoQueue);
        }
        for (nth, (name, _)) in self.queues.iter().enumerate() {
            check_queue_name(name)
                .map_err(|source| BuildError::QueueName { queue: name.chars().take(80).collect(), source })?;
            if self.queues[..nth].iter().any(|(other, _)| other == name) {
                return Err(BuildError::DuplicateQueue(name.clone()));
            }
        }
        if let Some(kind) = self.duplicate {
            return Err(BuildError::DuplicateKind(kind));
        }
        if self.lease < Duration::from_millis(100) {
            return Err(BuildError::LeaseTooShort);
        }
        let shared = Shared {
            id: WorkerId::generate(),
            broker: self.broker,
            observer: self.observer,
            handlers: self.handlers,
            lease: self.lease,
            patience: self.patience,
            unknown_delay: self.unknown_delay,
            leases: LeaseBook::default(),
            stop: CancellationToken::new(),
        };
        Ok(Worker { shared: Arc::new(shared), queues: self.queues, grace: self.grace })
    }
}
