//! Options for jobs of one kind that differ from those of their queue.

use std::time::Duration;

use crate::retry::RetryPolicy;

/// Options of one handler. Options of a job override them, and they override those of the queue.
///
/// ```
/// use std::time::Duration;
/// use tidegate_queue::{Backoff, HandlerOptions, RetryPolicy};
///
/// let hourly = RetryPolicy::new(24, Backoff::Fixed(Duration::from_secs(3600)))?;
/// let options = HandlerOptions::new().retry(hourly).timeout(Duration::from_secs(5));
/// # Ok::<(), tidegate_queue::RetryPolicyError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct HandlerOptions {
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) any_queue: bool,
}

impl HandlerOptions {
    /// The options of the queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the retry policy of this kind.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// Sets the longest run time of this kind.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Allows a worker that does not serve the job's own queue ([`Job::QUEUE`](crate::Job::QUEUE)).
    ///
    /// By default such a handler is a
    /// [`BuildError::QueueNotServed`](crate::BuildError::QueueNotServed), because jobs in their own
    /// queue would wait forever. Set this if the jobs are enqueued into other queues, or if another
    /// worker serves that queue.
    pub fn any_queue(mut self) -> Self {
        self.any_queue = true;
        self
    }
}
