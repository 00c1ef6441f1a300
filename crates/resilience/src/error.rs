//! Errors of calls, and of settings.

use std::sync::Arc;
use std::time::Duration;

/// Reason why a call has no result. `E` is the error of the operation itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// The operation took too long and was cancelled. It may have taken effect.
    #[error("{name}: no result within {limit:?}; the operation was cancelled and may have taken effect")]
    TimedOut {
        /// Name of the time-out.
        name: Arc<str>,
        /// Longest time that the operation may take.
        limit: Duration,
    },
    /// The circuit breaker is open. The operation was not started.
    #[error("{name}: the circuit breaker is open; {}", advice(*.retry_in))]
    BreakerOpen {
        /// Name of the breaker.
        name: Arc<str>,
        /// Time after which the breaker admits a call at the latest. `None` if it was forced open.
        retry_in: Option<Duration>,
    },
    /// The bulkhead has no free place. The operation was not started.
    #[error("{name}: all {max_concurrent} permits are in use; retry later, or raise max_concurrent")]
    Full {
        /// Name of the bulkhead.
        name: Arc<str>,
        /// Maximum number of concurrent calls.
        max_concurrent: usize,
        /// Time that the call waited for a place.
        waited: Duration,
    },
    /// The operation returned an error.
    #[error(transparent)]
    Inner(E),
}

fn advice(retry_in: Option<Duration>) -> String {
    match retry_in {
        Some(wait) => format!("retry in {wait:?}"),
        None => "it was forced open, and only a reset closes it".to_owned(),
    }
}

impl<E> Error<E> {
    /// Whether the operation was never started, so that a repetition is safe.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::BreakerOpen { .. } | Self::Full { .. })
    }

    /// Returns the time after which an open breaker admits a call at the latest.
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_in, .. } => *retry_in,
            _ => None,
        }
    }

    /// Returns the error of the operation, if it returned one.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Inner(error) => Some(error),
            _ => None,
        }
    }
}

impl<E> Error<Error<E>> {
    /// Merges the errors of two nested policies.
    pub fn flatten(self) -> Error<E> {
        match self {
            Self::TimedOut { name, limit } => Error::TimedOut { name, limit },
            Self::BreakerOpen { name, retry_in } => Error::BreakerOpen { name, retry_in },
            Self::Full { name, max_concurrent, waited } => Error::Full { name, max_concurrent, waited },
            Self::Inner(error) => error,
        }
    }
}

/// Setting with a value that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {setting} {problem}")]
pub struct ConfigError {
    name: Arc<str>,
    setting: &'static str,
    problem: &'static str,
}

impl ConfigError {
    pub(crate) fn new(name: &Arc<str>, setting: &'static str, problem: &'static str) -> Self {
        Self { name: Arc::clone(name), setting, problem }
    }

    /// Returns the name of the setting, such as `max_attempts`.
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}
