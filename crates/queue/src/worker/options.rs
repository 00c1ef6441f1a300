//! How a worker serves one queue.

use std::time::Duration;

use super::concurrency::Concurrency;
use crate::retry::RetryPolicy;
use tidegate_queue_broker::Retention;

/// Options for serving one queue. Cheap to clone.
#[derive(Clone, Debug)]
#[must_use]
pub struct QueueOptions {
    pub(crate) concurrency: Concurrency,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) max_lost_leases: u32,
    pub(crate) retention: Retention,
}

impl QueueOptions {
    /// 10 concurrent jobs, 30 minutes per run, the default retry policy, 5 lost leases, default
    /// retention.
    pub fn new() -> Self {
        Self {
            concurrency: Concurrency::new(10),
            timeout: Duration::from_secs(30 * 60),
            retry: RetryPolicy::default(),
            max_lost_leases: 5,
            retention: Retention::default(),
        }
    }

    /// Sets how many jobs this worker runs concurrently. Zero counts as one.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = Concurrency::new(jobs);
        self
    }

    /// Sets the concurrency to a number that can be changed while the worker runs. Queues that
    /// share one `Concurrency` each run that many jobs.
    pub fn adjustable(mut self, concurrency: Concurrency) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Sets the longest run time, for jobs that set none. A run that exceeds it has failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the retry policy. A job may set its own number of attempts.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets how many leases a job may lose. After that it is assumed to kill its workers and
    /// becomes dead. Zero counts as one. The count restarts when a run's progress exceeds the
    /// highest percentage so far.
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
