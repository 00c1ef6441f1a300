//! Events, for metrics and logs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::breaker::State;

/// Receives events on the path of the call, outside all locks: it must return fast and not block.
///
/// A panic of the observer ends with the event: the call goes on.
pub trait Observer: Send + Sync + 'static {
    /// Receives one event. Does nothing by default.
    fn on(&self, event: &Event<'_>) {
        let _ = event;
    }
}

/// Action of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A call took too long and was cancelled.
    TimedOut {
        /// Name of the time-out.
        name: &'a str,
        /// Longest time that the call may take.
        limit: Duration,
    },
    /// A call failed and is repeated.
    Retrying {
        /// Name of the retry policy.
        name: &'a str,
        /// Number of the attempt that failed, from 1.
        attempt: u32,
        /// Time until the next attempt.
        delay: Duration,
    },
    /// A call failed and is not repeated, although its error is transient.
    GaveUp {
        /// Name of the retry policy.
        name: &'a str,
        /// Number of attempts made.
        attempts: u32,
        /// Limit that ended the call.
        reason: GaveUp,
    },
    /// A circuit breaker changed its state.
    BreakerChanged {
        /// Name of the breaker.
        name: &'a str,
        /// State before.
        from: State,
        /// State from now on.
        to: State,
    },
    /// A circuit breaker refused a call.
    BreakerRefused {
        /// Name of the breaker.
        name: &'a str,
        /// Time after which the breaker admits a call at the latest. `None` if it was forced open.
        retry_in: Option<Duration>,
    },
    /// A call waits for a place in a bulkhead.
    BulkheadQueued {
        /// Name of the bulkhead.
        name: &'a str,
    },
    /// A bulkhead refused a call.
    BulkheadRefused {
        /// Name of the bulkhead.
        name: &'a str,
        /// Time that the call waited for a place.
        waited: Duration,
    },
}

/// Limit that ended the repetition of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaveUp {
    /// The call had its maximum number of attempts.
    Attempts,
    /// The next attempt would start after the maximum total time.
    MaxElapsed,
    /// The retry budget is spent.
    Budget,
}

/// Optional observer of a policy.
#[derive(Clone, Default)]
pub(crate) struct Emitter(Option<Arc<dyn Observer>>);

impl Emitter {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        Self(Some(observer))
    }

    /// Sends the event. The panic hook reports a panic of the observer.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        if let Some(observer) = &self.0 {
            drop(catch_unwind(AssertUnwindSafe(|| observer.on(event))));
        }
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "None" })
    }
}
