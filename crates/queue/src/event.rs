//! Events that observers count or log.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidegate_queue_broker::{BrokerError, JobId};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// With a result.
    Done,
    /// Failed, to be tried again.
    Retried,
    /// Postponed by its handler, or by a worker that has no handler for it.
    Snoozed,
    /// Failed for good.
    Buried,
    /// Discarded by its handler, or cancelled.
    Discarded,
    /// Released at shutdown.
    Released,
    /// The job was leased to another worker.
    Lost,
}

impl Ending {
    /// Lower-case name, for labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retried => "retried",
            Self::Snoozed => "snoozed",
            Self::Buried => "buried",
            Self::Discarded => "discarded",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }
}

/// An event. Contains no payloads.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Jobs were enqueued; `count` of them were new.
    Enqueued {
        /// Queue.
        queue: &'a str,
        /// New jobs.
        count: usize,
    },
    /// A run begins.
    Started {
        /// Queue.
        queue: &'a str,
        /// Kind.
        kind: &'a str,
        /// Job.
        id: &'a JobId,
        /// Time from ready to leased.
        queue_wait: Duration,
    },
    /// A run has ended.
    Finished {
        /// Queue.
        queue: &'a str,
        /// Kind.
        kind: &'a str,
        /// Job.
        id: &'a JobId,
        /// How it ended.
        outcome: Ending,
        /// Time from ready to leased.
        queue_wait: Duration,
        /// Time the handler took.
        run_time: Duration,
    },
    /// A failed job will run again.
    Retried {
        /// Queue.
        queue: &'a str,
        /// Kind.
        kind: &'a str,
        /// Job.
        id: &'a JobId,
        /// Time until then.
        delay: Duration,
        /// The error.
        error: &'a str,
    },
    /// A job failed for good.
    Buried {
        /// Queue.
        queue: &'a str,
        /// Kind.
        kind: &'a str,
        /// Job.
        id: &'a JobId,
        /// The error.
        error: &'a str,
    },
    /// A job was put back because the worker has no handler that knows it.
    Unknown {
        /// Queue.
        queue: &'a str,
        /// Kind.
        kind: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// A job was cancelled without a run: it had expired.
    Expired {
        /// Queue.
        queue: &'a str,
        /// Kind.
        kind: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// The broker reported that a running job's lease is lost. A lease that can't be renewed while
    /// the broker is unreachable is not reported as lost.
    LeaseLost {
        /// Queue.
        queue: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// A settlement came too late and had no effect.
    StaleAck {
        /// Queue.
        queue: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// A settlement was given up: the broker refused it for a whole lease, or was unreachable for
    /// that long while the worker shut down. The job will run again.
    AckAbandoned {
        /// Queue.
        queue: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// Expired leases were reclaimed.
    Reclaimed {
        /// Queue.
        queue: &'a str,
        /// Jobs back in the queue.
        ready: usize,
        /// Jobs that lost too many leases.
        dead: usize,
    },
    /// A call to the broker failed. The worker tries again.
    BrokerFailed {
        /// Queue.
        queue: &'a str,
        /// The failure.
        error: &'a BrokerError,
    },
}

/// Receives events in the middle of the work: it must return fast and must not block. A worker
/// survives its panics.
pub trait Observer: Send + Sync + 'static {
    /// Receives one event. Does nothing by default.
    fn on(&self, event: &Event<'_>) {
        let _ = event;
    }
}

/// Passes an event to an observer. Catches a panic, so that the caller continues.
pub(crate) fn notify(observer: &dyn Observer, event: &Event<'_>) {
    if catch_unwind(AssertUnwindSafe(|| observer.on(event))).is_err() {
        tracing::error!("the observer panicked");
    }
}

/// Logs with `tracing` why jobs fail: dead jobs as warnings, jobs that run again at level debug.
/// Workers use it unless they are given an observer. Your own observer may pass events on to it.
/// The log contains the handlers' error texts, so keep secrets out of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogEvents;

impl Observer for LogEvents {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Buried { queue, kind, id, error } => {
                tracing::warn!(queue, kind, %id, error, "the job is dead");
            }
            Event::Reclaimed { queue, dead, .. } if *dead > 0 => {
                tracing::warn!(queue, dead, "jobs are dead that lost too many leases");
            }
            Event::Retried { queue, kind, id, delay, error } => {
                tracing::debug!(queue, kind, %id, ?delay, error, "the job failed, and will run again");
            }
            Event::Expired { queue, kind, id } => {
                tracing::debug!(queue, kind, %id, "the job expired before it could run");
            }
            _ => {}
        }
    }
}

/// Ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct IgnoreEvents;

impl Observer for IgnoreEvents {}
