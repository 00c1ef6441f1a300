//! An error of any type with its class.

use std::error::Error;
use std::fmt;

use super::chain::{chain, in_chain};
use super::class::{BoxError, ErrorClass, JobError};
use super::error::{CheckpointError, MissingData};
use super::outcome::Outcome;
use crate::group::GroupError;
use tidegate_queue_broker::{BrokerError, EnqueueError};

/// An error of any type with its class. `?` converts every error of a job handler into it.
///
/// An error is retried. Exceptions:
///
/// - [`Classify`](crate::Classify) sets the class explicitly: `.or_bury()?`, `.or_snooze(delay)?`
///   and so on.
/// - A [`Failure`] and the errors of this crate keep their class.
/// - A [`JobError`] keeps its class if the handler returns that type (`Result<T, ChargeError>`), or
///   after [`classed`](crate::Classed::classed). A plain `?` into a `Failure` cannot see the class
///   and retries.
///
/// A `Failure` is not a [`std::error::Error`], as in other types that accept every error.
/// [`into_error`](Self::into_error) makes it one and keeps the class.
///
/// ```
/// use tidegate_queue::{Classify, Failure};
///
/// async fn resize(path: &str, url: &str) -> Result<u64, Failure> {
///     // Never succeeds if it fails once.
///     let width: u64 = path.rsplit('x').next().unwrap_or_default().parse().or_bury()?;
///     let bytes = std::fs::metadata(path)?.len(); // `std::io::Error`: retried
///     reqwest::get(url).await?.error_for_status()?; // `reqwest::Error`: retried
///     Ok(bytes / width)
/// }
///
/// async fn count(pool: &sqlx::SqlitePool) -> Result<i64, Failure> {
///     // `sqlx::Error`: retried.
///     Ok(sqlx::query_scalar("SELECT count(*) FROM image").fetch_one(pool).await?)
/// }
///
/// async fn publish(check: impl Fn() -> anyhow::Result<()>) -> Result<(), Failure> {
///     check()?; // `anyhow::Error`: retried
///     Err("no images")? // a text: retried
/// }
/// ```
#[derive(Debug)]
pub struct Failure {
    class: ErrorClass,
    error: BoxError,
}

impl Failure {
    /// Sets the class of an error.
    pub fn new(class: ErrorClass, error: impl Into<BoxError>) -> Self {
        Self { class, error: error.into() }
    }

    /// Runs again after the policy's delay.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorClass::Retry, error)
    }

    /// Dead at once.
    pub fn bury(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorClass::Bury, error)
    }

    /// Cancelled: the job is not needed any more.
    pub fn discard(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorClass::Discard, error)
    }

    /// The outcome of the job.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The error.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// Converts the failure into a standard error, for a layer or a function that returns
    /// [`BoxError`].
    ///
    /// The class is found again when the error becomes a `Failure` or ends a run.
    ///
    /// ```
    /// use tidegate_queue::{ErrorClass, Failure};
    ///
    /// let error = Failure::bury("no such user").into_error();
    /// assert_eq!(error.to_string(), "no such user");
    /// assert_eq!(Failure::from(error).class(), ErrorClass::Bury);
    /// ```
    pub fn into_error(self) -> BoxError {
        Box::new(ClassedError(self))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// Any error: retried, unless it carries a class (see [`Failure`]).
impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Self { class: class_of(&*error), error }
    }
}

/// A [`Failure`] as a standard error.
#[derive(Debug)]
struct ClassedError(Failure);

impl fmt::Display for ClassedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ClassedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.error.source()
    }
}

/// The class of a [`ClassedError`] among the error and its sources, or that of the outermost error
/// of this crate among them.
fn class_of(error: &(dyn Error + 'static)) -> ErrorClass {
    fn own<E: JobError + Error + 'static>(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
        error.downcast_ref::<E>().map(JobError::class)
    }
    fn own_of_any(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
        own::<BrokerError>(error)
            .or_else(|| own::<EnqueueError>(error))
            .or_else(|| own::<CheckpointError>(error))
            .or_else(|| own::<GroupError>(error))
            .or_else(|| own::<MissingData>(error))
    }
    if let Some(classed) = in_chain::<ClassedError>(error) {
        return classed.0.class;
    }
    std::iter::successors(Some(error), |error| (*error).source()).find_map(own_of_any).unwrap_or_default()
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        let text = chain(&*failure.error);
        match failure.class {
            ErrorClass::Retry => Self::Retry { error: text, after: None },
            ErrorClass::RetryAfter(delay) => Self::Retry { error: text, after: Some(delay) },
            ErrorClass::Snooze(delay) => Self::Snooze { delay, note: Some(text) },
            ErrorClass::Discard => Self::Discard { reason: text },
            ErrorClass::Bury => Self::Bury { error: text },
        }
    }
}

/// An error that a handler or an extractor may return: any [`JobError`], and [`Failure`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` doesn't say what becomes of the job it ends",
    label = "not a `JobError`",
    note = "`impl JobError for {Self} {{}}` makes it count as a failure to be retried; override `class` for more",
    note = "or return `Result<T, Failure>`: `?` turns any error into a `Failure`, which is retried; \
            `.or_bury()?`, … of the trait `Classify` choose another class"
)]
pub trait IntoFailure {
    /// Converts the error, with its class.
    fn into_failure(self) -> Failure;
}

impl<E: JobError> IntoFailure for E {
    fn into_failure(self) -> Failure {
        Failure::new(self.class(), self)
    }
}

impl IntoFailure for Failure {
    fn into_failure(self) -> Failure {
        self
    }
}

impl JobError for BoxError {
    fn class(&self) -> ErrorClass {
        class_of(&**self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::classes::STORE_PAUSE;
    use crate::handler::{Classed, Classify, IntoOutcome};

    #[test]
    fn question_marks_keep_the_class() {
        #[derive(Debug, thiserror::Error)]
        #[error("typed")]
        struct Typed;
        impl JobError for Typed {
            fn class(&self) -> ErrorClass {
                ErrorClass::Discard
            }
        }
        let typed = || -> Result<(), Failure> { Err(Typed).classed() };
        assert_eq!(typed().unwrap_err().class(), ErrorClass::Discard);
        let any = || -> Result<u32, BoxError> { Ok("x".parse::<u32>()?) };
        assert_eq!(any().unwrap_err().class(), ErrorClass::Retry);
        let classed = || -> Result<u32, Failure> { "x".parse::<u32>().or_bury() };
        assert_eq!(classed().unwrap_err().class(), ErrorClass::Bury);
        assert_eq!(classed().into_outcome(), Outcome::bury("invalid digit found in string"));
        let passed_on = || -> Result<u32, Failure> { Ok(classed()? + 1) };
        assert_eq!(passed_on().unwrap_err().class(), ErrorClass::Bury);

        #[derive(Debug, thiserror::Error)]
        #[error("wrapped")]
        struct Wrapped(#[source] BoxError);
        let wrapped: BoxError = Wrapped(Failure::bury("deep").into_error()).into();
        assert_eq!(Err::<(), _>(wrapped).into_outcome(), Outcome::bury("wrapped: deep"));
    }

    #[test]
    fn question_marks_keep_the_class_of_this_crates_errors() {
        fn class<E: Into<BoxError>>(error: E) -> ErrorClass {
            let convert = || -> Result<(), Failure> { Ok(Err(error)?) };
            convert().unwrap_err().class()
        }
        let busy = || BrokerError::Store {
            operation: "enqueue",
            transient: true,
            may_have_run: false,
            source: "locked".into(),
        };
        assert_eq!(class(busy()), ErrorClass::Snooze(STORE_PAUSE));
        assert_eq!(class(EnqueueError::from(busy())), ErrorClass::Snooze(STORE_PAUSE));
        assert_eq!(class(GroupError::Broker(busy())), ErrorClass::Snooze(STORE_PAUSE));
        assert_eq!(class(CheckpointError::Store(busy())), ErrorClass::Snooze(STORE_PAUSE));
        assert_eq!(class(EnqueueError::TraceParent), ErrorClass::Bury);
        #[derive(Debug, thiserror::Error)]
        #[error("while ordering")]
        struct Around(#[source] BoxError);
        assert_eq!(class(Around(busy().into())), ErrorClass::Snooze(STORE_PAUSE));
        assert_eq!(class(Around(EnqueueError::TraceParent.into())), ErrorClass::Bury);
        assert_eq!(class(anyhow::Error::new(busy()).context("while ordering")), ErrorClass::Snooze(STORE_PAUSE));
        assert_eq!(class(MissingData { type_name: "Mailer" }), MissingData { type_name: "Mailer" }.class());
    }
}
