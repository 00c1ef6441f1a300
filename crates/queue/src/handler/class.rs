//! Classes of errors. The class of an error decides the outcome of the job.

use std::error::Error;
use std::time::Duration;

/// A boxed error of any type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The outcome of a job whose run failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Runs again after the policy's delay, until the attempts are used up.
    #[default]
    Retry,
    /// Runs again after this time, until the attempts are used up.
    RetryAfter(Duration),
    /// Runs again after this time. Uses up no attempt.
    Snooze(Duration),
    /// Cancelled: the job is not needed any more.
    Discard,
    /// Dead at once: a retry would not help.
    Bury,
}

/// An error that decides the outcome of the job that it ended.
///
/// An empty `impl` means retry. The error's text and those of its [sources](Error::source) are
/// recorded, up to 4 KiB.
///
/// ```
/// use std::time::Duration;
/// use tidegate_queue::{ErrorClass, Failure, JobError, Outcome};
///
/// #[derive(Debug, thiserror::Error)]
/// enum ChargeError {
///     #[error("the card was refused")]
///     Refused,
///     #[error("too many requests")]
///     Slower { retry_after: Duration },
///     #[error("the connection failed")]
///     Connection(#[from] std::io::Error),
/// }
///
/// impl JobError for ChargeError {
///     fn class(&self) -> ErrorClass {
///         match self {
///             Self::Refused => ErrorClass::Bury,
///             Self::Slower { retry_after } => ErrorClass::Snooze(*retry_after),
///             Self::Connection(_) => ErrorClass::Retry,
///         }
///     }
/// }
///
/// let broken = ChargeError::from(std::io::Error::other("broken pipe"));
/// let retried = Outcome::retry("the connection failed: broken pipe");
/// assert_eq!(Outcome::from(Failure::from(broken)), retried);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` doesn't say what becomes of the job it ends",
    label = "not a `JobError`",
    note = "`impl JobError for {Self} {{}}` makes it count as a failure to be retried; override `class` for more",
    note = "a function that returns `Result<T, Failure>` needs no `JobError`: `?` turns any error into a `Failure`"
)]
pub trait JobError: Into<BoxError> {
    /// The outcome of the job: retry by default.
    ///
    /// A plain `?` in a function that returns `Result<T, Failure>` drops the class without warning:
    /// it can't see that the error is a `JobError`, and the job is retried. To keep the class,
    /// return the type of the error, or call [`classed`](crate::Classed::classed) before the `?`.
    ///
    /// ```
    /// use tidegate_queue::{Classed, ErrorClass, Failure, JobError, Outcome};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("the card was refused")]
    /// struct Refused;
    ///
    /// impl JobError for Refused {
    ///     fn class(&self) -> ErrorClass {
    ///         ErrorClass::Bury
    ///     }
    /// }
    ///
    /// fn charge() -> Result<(), Refused> {
    ///     Err(Refused)
    /// }
    ///
    /// // Right: the handler returns the type of the error.
    /// async fn own_type() -> Result<(), Refused> {
    ///     charge()?;
    ///     Ok(())
    /// }
    ///
    /// // Right: `classed` keeps the class.
    /// async fn classed() -> Result<(), Failure> {
    ///     charge().classed()?;
    ///     Ok(())
    /// }
    ///
    /// // Wrong: retried until the attempts are used up.
    /// async fn plain() -> Result<(), Failure> {
    ///     charge()?;
    ///     Ok(())
    /// }
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// assert_eq!(own_type().await.unwrap_err().class(), ErrorClass::Bury);
    /// assert_eq!(classed().await.unwrap_err().class(), ErrorClass::Bury);
    /// assert_eq!(plain().await.unwrap_err().class(), ErrorClass::Retry);
    /// # });
    /// ```
    fn class(&self) -> ErrorClass {
        ErrorClass::Retry
    }
}
