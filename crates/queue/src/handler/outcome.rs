//! What a run came to, and what may be returned in its place.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::failure::IntoFailure;

/// What a run came to.
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
    Snooze {
        /// Time until then.
        delay: Duration,
        /// Why, shown with the record.
        note: Option<String>,
    },
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

    /// Failure, to be tried again after `delay`, whatever the policy says.
    pub fn retry_after(delay: Duration, error: impl Display) -> Self {
        Self::Retry { error: error.to_string(), after: Some(delay) }
    }

    /// Not now.
    pub fn snooze(delay: Duration) -> Self {
        Self::Snooze { delay, note: None }
    }

    /// Failure for good.
    pub fn bury(error: impl Display) -> Self {
        Self::Bury { error: error.to_string() }
    }

    /// Not worth doing any more.
    pub fn discard(reason: impl Display) -> Self {
        Self::Discard { reason: reason.to_string() }
    }
}

/// What a handler function may return.
///
/// - [`Outcome`], for full control;
/// - `()`, for success without a result;
/// - `Result<T, E>`: `T` is serialized and kept as the result (or is an [`Outcome`]); `E` decides by its
///   [class](crate::ErrorClass) what becomes of the job.
///
/// ```
/// use tidegate_queue::{ErrorClass, IntoOutcome, JobError, Outcome};
///
/// #[derive(Debug, thiserror::Error)]
/// enum MailError {
///     #[error("no such address")]
///     NoSuchAddress,
///     #[error("the server is busy")]
///     Busy,
/// }
///
/// impl JobError for MailError {
///     fn class(&self) -> ErrorClass {
///         match self {
///             Self::NoSuchAddress => ErrorClass::Bury,
///             Self::Busy => ErrorClass::Retry,
///         }
///     }
/// }
///
/// assert_eq!(Ok::<_, MailError>("sent").into_outcome(), Outcome::done("sent"));
/// assert_eq!(Err::<(), _>(MailError::NoSuchAddress).into_outcome(), Outcome::bury("no such address"));
/// assert_eq!(Err::<(), _>(MailError::Busy).into_outcome(), Outcome::retry("the server is busy"));
/// ```
#[diagnostic::on_unimplemented(
    message = "a job handler can't return `{Self}`",
    label = "not an outcome",
    note = "return `Outcome`, `()`, or `Result<T, E>` where `T` is `Serialize` (or `Outcome`) and `E` is a `JobError`",
    note = "`Result<T, Failure>` takes any error by `?` and retries it; \
            `impl JobError for YourError {{}}` makes an error type of yours a handler's own"
)]
pub trait IntoOutcome {
    /// Turns the value into what becomes of the job.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Done(Value::Null)
    }
}

impl<T: Serialize, E: IntoFailure> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        match self {
            Ok(result) => Outcome::done(result),
            Err(error) => error.into_failure().into_outcome(),
        }
    }
}

impl<E: IntoFailure> IntoOutcome for Result<Outcome, E> {
    fn into_outcome(self) -> Outcome {
        self.unwrap_or_else(|error| error.into_failure().into_outcome())
    }
}
