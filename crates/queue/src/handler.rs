//! User code: what runs a job, what it is told, and what it answers.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::id::JobId;
use crate::job::Job;
use crate::lease::LeaseToken;
use crate::record::{Progress, shortened};

/// Runs jobs of one kind.
///
/// It may run twice for one job, and at the same time where a lease was lost; make it idempotent.
/// A panic counts as a failure. Code that blocks should use [`tokio::task::spawn_blocking`]; its
/// lease is kept either way.
#[async_trait]
pub trait Handler<J: Job>: Send + Sync + 'static {
    /// Runs one job.
    async fn run(&self, job: J, context: &Context) -> Outcome;
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Success; the value is kept as the result, up to 1 MiB of JSON.
    Done(Value),
    /// Failure: again, until the attempts are used up; then dead.
    Retry {
        /// What went wrong.
        error: String,
        /// Time until then; `None` leaves it to the policy.
        after: Option<Duration>,
    },
    /// Not now: again after this time. Burns no attempt.
    Snooze(Duration),
    /// Failure that no repetition mends: dead at once.
    Bury {
        /// What went wrong.
        error: String,
    },
    /// Not worth doing any more: cancelled.
    Discard {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Success with a result. A value that can't be JSON buries the job.
    pub fn done(result: impl Serialize) -> Self {
        match serde_json::to_value(result) {
            Ok(value) => Self::Done(value),
            Err(error) => Self::bury(format_args!("result can't be serialized: {error}")),
        }
    }

    /// Failure, to be tried again when the policy says.
    pub fn retry(error: impl Display) -> Self {
        Self::Retry { error: error.to_string(), after: None }
    }

    /// Failure for good.
    pub fn bury(error: impl Display) -> Self {
        Self::Bury { error: error.to_string() }
    }
}

/// The lease is no longer held: stop, someone else runs the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease of this job is no longer held")]
pub struct LeaseLost;

/// What a handler knows of its run, beside the job. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Run>);

struct Run {
    broker: Arc<dyn Broker>,
    queue: Arc<str>,
    token: LeaseToken,
    attempt: u32,
    cancelled: CancellationToken,
}

impl Context {
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        queue: Arc<str>,
        token: LeaseToken,
        attempt: u32,
        cancelled: CancellationToken,
    ) -> Self {
        Self(Arc::new(Run { broker, queue, token, attempt, cancelled }))
    }

    /// The job's id: the same in each run, fit as an idempotency key.
    pub fn id(&self) -> &JobId {
        &self.0.token.id
    }

    /// The queue it came from.
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// Number of this attempt, from 1. Lost leases, releases and snoozes don't raise it.
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Number of this lease, from 1: grows with each run, whatever ended the last. Fit as a fencing
    /// token.
    pub fn delivery(&self) -> u32 {
        self.0.token.delivery
    }

    /// Fires when the run should end: the lease was lost, someone cancelled the job, its time is up,
    /// or the shutdown's grace has ended. A short while later it is aborted.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.cancelled
    }

    /// Stores how far the run has come; above 100 counts as 100, and of the message 4 KiB
    /// are kept. One write to the broker: report
    /// steps, not rows. A broker that fails meanwhile is no reason to stop, and not reported.
    ///
    /// # Errors
    /// [`LeaseLost`]: stop.
    pub async fn progress(&self, percent: u8, message: impl Into<String> + Send) -> Result<(), LeaseLost> {
        let progress = Progress { percent: percent.min(100), message: shortened(message.into()) };
        match self.0.broker.progress(&self.0.queue, &self.0.token, progress).await {
            Ok(false) => Err(LeaseLost),
            Ok(true) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, id = %self.id(), "progress was not stored");
                Ok(())
            }
        }
    }
}
