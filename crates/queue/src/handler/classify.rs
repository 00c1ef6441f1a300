//! Sets or keeps the class of the error of a `Result`.

use std::time::Duration;

use super::class::{BoxError, ErrorClass};
use super::failure::{Failure, IntoFailure};

/// Sets the class of a `Result`'s error.
///
/// ```
/// use std::time::Duration;
/// use tidegate_queue::{Classify, ErrorClass};
///
/// let bad = "seven".parse::<u32>().or_bury().unwrap_err();
/// assert_eq!(bad.class(), ErrorClass::Bury);
/// let later = Err::<(), _>("rate limited").or_snooze(Duration::from_secs(60)).unwrap_err();
/// assert_eq!(later.class(), ErrorClass::Snooze(Duration::from_secs(60)));
/// ```
pub trait Classify<T> {
    /// Sets the class of the error.
    ///
    /// # Errors
    /// The error with the class.
    fn or_class(self, class: ErrorClass) -> Result<T, Failure>;

    /// Runs again after the policy's delay.
    ///
    /// # Errors
    /// The error with the class.
    fn or_retry(self) -> Result<T, Failure>
    where
        Self: Sized,
    {
        self.or_class(ErrorClass::Retry)
    }

    /// Runs again after `delay`.
    ///
    /// # Errors
    /// The error with the class.
    fn or_retry_after(self, delay: Duration) -> Result<T, Failure>
    where
        Self: Sized,
    {
        self.or_class(ErrorClass::RetryAfter(delay))
    }

    /// Runs again after `delay`. Uses up no attempt.
    ///
    /// # Errors
    /// The error with the class.
    fn or_snooze(self, delay: Duration) -> Result<T, Failure>
    where
        Self: Sized,
    {
        self.or_class(ErrorClass::Snooze(delay))
    }

    /// Dead at once.
    ///
    /// # Errors
    /// The error with the class.
    fn or_bury(self) -> Result<T, Failure>
    where
        Self: Sized,
    {
        self.or_class(ErrorClass::Bury)
    }

    /// Cancelled: the job is not needed any more.
    ///
    /// # Errors
    /// The error with the class.
    fn or_discard(self) -> Result<T, Failure>
    where
        Self: Sized,
    {
        self.or_class(ErrorClass::Discard)
    }
}

impl<T, E: Into<BoxError>> Classify<T> for Result<T, E> {
    fn or_class(self, class: ErrorClass) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(class, error))
    }
}

/// Keeps the class of a [`JobError`](crate::JobError) when it becomes a [`Failure`].
///
/// ```
/// use tidegate_queue::{Classed, ErrorClass, Failure, JobError};
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
/// fn order() -> Result<(), Failure> {
///     charge().classed()?;
///     Ok(())
/// }
/// assert_eq!(order().unwrap_err().class(), ErrorClass::Bury);
/// ```
pub trait Classed<T> {
    /// Converts the error into a [`Failure`] with its class.
    ///
    /// # Errors
    /// The error, with its class.
    fn classed(self) -> Result<T, Failure>;
}

impl<T, E: IntoFailure> Classed<T> for Result<T, E> {
    fn classed(self) -> Result<T, Failure> {
        self.map_err(IntoFailure::into_failure)
    }
}
