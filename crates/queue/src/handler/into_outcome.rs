//! The types that a handler may return.

use serde::Serialize;
use serde_json::Value;

use super::failure::{Failure, IntoFailure};
use super::outcome::Outcome;

/// Types that a handler function may return.
///
/// - [`Outcome`], for full control;
/// - `()`, for success without a result;
/// - `Result<T, E>`: `T` is serialized and kept as the result, unless it is an [`Outcome`]. The
///   [class](crate::ErrorClass) of `E` decides the outcome of the job.
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
/// let failed = Err::<(), _>(MailError::NoSuchAddress);
/// assert_eq!(failed.into_outcome(), Outcome::bury("no such address"));
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
    /// Converts the value into the outcome of the job.
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

impl IntoOutcome for Failure {
    fn into_outcome(self) -> Outcome {
        self.into()
    }
}
