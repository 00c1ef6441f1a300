//! What happens, told to whoever wants to count or log it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::error::BrokerError;
use crate::id::JobId;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// With a result.
    Done,
    /// Failed, to be tried again.
    Retried,
    /// Put off by its handler, or by a worker that has no handler for it.
    Snoozed,
    /// Failed for good.
    Buried,
    /// Given up by its handler, or cancelled.
    Discarded,
    /// Given back at shutdown.
    Released,
    /// The lease went to someone else.
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

/// Something that happened. Carries no payloads.
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
    /// A run ended.
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
        /// What went wrong.
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
        /// What went wrong.
        error: &'a str,
    },
    /// A job went back for want of a handler that knows it.
    Unknown {
        /// Queue.
        queue: &'a str,
        /// Kind.
        kind: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// A job was not run, but cancelled: its time had passed.
    Expired {
        /// Queue.
        queue: &'a str,
        /// Kind.
        kind: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// A running job's lease was taken away, as the broker says. One that can't be renewed while the broker is away is not
    /// lost yet.
    LeaseLost {
        /// Queue.
        queue: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// A settlement came too late and changed nothing.
    StaleAck {
        /// Queue.
        queue: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// A settlement was given up: the broker refused it for a whole lease, or could not be reached for so long and the worker
    /// ends. The job will run again.
    AckAbandoned {
        /// Queue.
        queue: &'a str,
        /// Job.
        id: &'a JobId,
    },
    /// Expired leases were taken back.
    Reclaimed {
        /// Queue.
        queue: &'a str,
        /// Jobs back in the queue.
        ready: usize,
        /// Jobs that lost too many leases.
        dead: usize,
    },
    /// The broker failed; the worker goes on trying.
    BrokerFailed {
        /// Queue.
        queue: &'a str,
        /// The failure.
        error: &'a BrokerError,
    },
}

/// Hears events, on the path of the work: it must return fast and never block. A worker outlives its
/// panics.
pub trait Observer: Send + Sync + 'static {
    /// Hears one event. Does nothing by default.
    fn on(&self, event: &Event<'_>) {
        let _ = event;
    }
}

/// Tells an observer. Its panics are its own: what it was told of goes on.
pub(crate) fn tell(observer: &dyn Observer, event: &Event<'_>) {
    if catch_unwind(AssertUnwindSafe(|| observer.on(event))).is_err() {
        tracing::error!("the observer panicked");
    }
}

/// Writes to the log, by `tracing`, why jobs fail: those that are dead as warnings, those that run again at level debug. What
/// workers do unless they are given an observer; one of your own may pass events on to it. The texts are those of the
/// handlers' errors: what is not to be read in a log does not belong there.
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

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct IgnoreEvents;

impl Observer for IgnoreEvents {}
