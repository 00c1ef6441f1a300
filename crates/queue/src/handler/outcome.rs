//! Outcomes of runs.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// Outcome of a run.
///
/// ```
/// use std::time::Duration;
/// use tidegate_queue::Outcome;
///
/// fn judge(status: u16) -> Outcome {
///     match status {
///         200..300 => Outcome::done(status),
///         404 => Outcome::discard("the page is gone"),
///         429 => Outcome::snooze(Duration::from_secs(60)),
///         503 => Outcome::retry_after(Duration::from_secs(5), "the server is down"),
///         500..600 => Outcome::retry(format_args!("status {status}")),
///         _ => Outcome::bury(format_args!("status {status}")),
///     }
/// }
/// assert_eq!(judge(502), Outcome::Retry { error: "status 502".into(), after: None });
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Success. The value is kept as the result, up to 1 MiB of JSON.
    Done(Value),
    /// Failure. Runs again until the attempts are used up, then it is dead.
    Retry {
        /// The error.
        error: String,
        /// Delay until the next attempt. `None` if the policy decides.
        after: Option<Duration>,
    },
    /// Postponed: runs again after this time. Uses up no attempt.
    Snooze {
        /// Delay until the next run.
        delay: Duration,
        /// Reason, shown with the record.
        note: Option<String>,
    },
    /// Failure that a retry would not fix: dead at once.
    Bury {
        /// The error.
        error: String,
    },
    /// Cancelled: the job is not needed any more.
    Discard {
        /// Reason.
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

    /// Failure. Runs again after the policy's delay.
    pub fn retry(error: impl Display) -> Self {
        Self::Retry { error: error.to_string(), after: None }
    }

    /// Failure. Runs again after `delay`, in place of the policy's delay.
    pub fn retry_after(delay: Duration, error: impl Display) -> Self {
        Self::Retry { error: error.to_string(), after: Some(delay) }
    }

    /// Postponed: runs again after `delay`.
    pub fn snooze(delay: Duration) -> Self {
        Self::Snooze { delay, note: None }
    }

    /// Failure for good: dead at once.
    pub fn bury(error: impl Display) -> Self {
        Self::Bury { error: error.to_string() }
    }

    /// Cancelled: the job is not needed any more.
    pub fn discard(reason: impl Display) -> Self {
        Self::Discard { reason: reason.to_string() }
    }
}
