//! Errors of handlers. The class of an error decides the outcome of the job.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::checkpoint::CheckpointError;
use super::data::MissingData;
use super::outcome::{IntoOutcome, Outcome};
use crate::error::{BrokerError, EnqueueError};
use crate::group::GroupError;
use crate::record::{TEXT_LIMIT, shortened};

/// A boxed error of any type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Delay of a job after a transient broker error.
const STORE_PAUSE: Duration = Duration::from_secs(5);

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
/// assert_eq!(Outcome::from(Failure::from(broken)), Outcome::retry("the connection failed: broken pipe"));
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
    /// return the type of the error, or call [`classed`](Classed::classed) before the `?`.
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

/// An error of any type with its class. `?` converts every error of a job handler into it.
///
/// An error is retried. Exceptions:
///
/// - [`Classify`] sets the class explicitly: `.or_bury()?`, `.or_snooze(delay)?` and so on.
/// - A [`Failure`] and the errors of this crate keep their class.
/// - A [`JobError`] keeps its class if the handler returns that type (`Result<T, ChargeError>`), or
///   after [`classed`](Classed::classed). A plain `?` into a `Failure` cannot see the class and
///   retries.
///
/// A `Failure` is not a [`std::error::Error`], as in other types that accept every error.
/// [`into_error`](Self::into_error) makes it one and keeps the class.
///
/// ```
/// use tidegate_queue::{Classify, Failure};
///
/// async fn resize(path: &str, url: &str) -> Result<u64, Failure> {
///     let width: u64 = path.rsplit('x').next().unwrap_or_default().parse().or_bury()?; // never succeeds
///     let bytes = std::fs::metadata(path)?.len(); // `std::io::Error`: retried
///     reqwest::get(url).await?.error_for_status()?; // `reqwest::Error`: retried
///     Ok(bytes / width)
/// }
///
/// async fn count(pool: &sqlx::SqlitePool) -> Result<i64, Failure> {
///     Ok(sqlx::query_scalar("SELECT count(*) FROM image").fetch_one(pool).await?) // `sqlx::Error`: retried
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

impl IntoOutcome for Failure {
    fn into_outcome(self) -> Outcome {
        self.into()
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

/// Keeps the class of a [`JobError`] when it becomes a [`Failure`].
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

/// Any error: retried, unless it carries a class (see [`Failure`]).
impl JobError for BoxError {
    fn class(&self) -> ErrorClass {
        class_of(&**self)
    }
}

macro_rules! retried {
    ($($error:ty),* $(,)?) => { $( impl JobError for $error {} )* };
}

retried![
    String,
    &str,
    std::char::ParseCharError,
    std::convert::Infallible,
    fmt::Error,
    std::io::Error,
    std::net::AddrParseError,
    std::num::ParseFloatError,
    std::num::ParseIntError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    serde_json::Error,
    tokio::task::JoinError,
    tokio::time::error::Elapsed,
];

/// A busy or full store is not the job's fault: the job is snoozed for 5 s. A job that a group
/// refuses is buried: a retry would be refused too.
impl JobError for BrokerError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Group(_) => ErrorClass::Bury,
            _ if self.is_transient() => ErrorClass::Snooze(STORE_PAUSE),
            _ => ErrorClass::Retry,
        }
    }
}

/// The class of the inner [`BrokerError`]. A duplicate is retried, invalid options are buried.
impl JobError for EnqueueError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Broker(error) => error.class(),
            Self::Duplicate { .. } => ErrorClass::Retry,
            _ => ErrorClass::Bury,
        }
    }
}

/// Returns the first error in the chain that is an `E`.
pub(crate) fn in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        link = error.source();
    }
    None
}

/// The texts of the error and its sources, up to the limit of the record. A source's text is
/// skipped if the text before it already ends with it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = bounded(error);
    let mut link = error.source();
    while let Some(source) = link
        && text.len() <= TEXT_LIMIT
    {
        let more = bounded(source);
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        link = source.source();
    }
    shortened(text)
}

/// The error's text, cut slightly above the limit: an error may print the data it has read.
fn bounded(error: &dyn Error) -> String {
    struct Bounded(String);

    impl fmt::Write for Bounded {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            let room = (TEXT_LIMIT + 1).saturating_sub(self.0.len());
            self.0.push_str(&part[..part.ceil_char_boundary(room)]);
            if self.0.len() > TEXT_LIMIT { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut text = Bounded(String::new());
    // Stops with an error when the limit is reached.
    let _ = write!(text, "{error}");
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layered {
        text: String,
        source: Option<Box<Layered>>,
    }

    fn layered(texts: &[&str]) -> Layered {
        let (first, rest) = texts.split_first().unwrap();
        let source = (!rest.is_empty()).then(|| Box::new(layered(rest)));
        Layered { text: (*first).to_owned(), source }
    }

    #[test]
    fn the_chain_is_kept_without_repetition() {
        assert_eq!(chain(&layered(&["a", "b", "c"])), "a: b: c");
        assert_eq!(chain(&layered(&["can't send: refused", "refused", "port 25"])), "can't send: refused: port 25");
        let failure = Failure::bury(layered(&["outer", "inner"]));
        assert_eq!(Outcome::from(failure), Outcome::bury("outer: inner"));
    }

    #[test]
    fn the_text_is_bounded() {
        for texts in [vec!["ä".repeat(1 << 20)], vec!["ä".repeat(1_000); 100]] {
            let texts: Vec<String> = texts.iter().enumerate().map(|(nth, text)| format!("{nth} {text}")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let text = chain(&layered(&texts));
            assert!(text.len() <= TEXT_LIMIT + '…'.len_utf8() && text.ends_with('…'), "{}", text.len());
        }
    }

    #[test]
    fn what_no_queue_will_ever_take_is_buried() {
        let large = EnqueueError::PayloadTooLarge { bytes: 2, limit: 1 };
        let named = EnqueueError::QueueName(crate::check_queue_name("a b").unwrap_err());
        let held = EnqueueError::Duplicate { held_by: crate::JobId::generate() };
        assert_eq!([large, named, held].map(|e| e.class()), [ErrorClass::Bury, ErrorClass::Bury, ErrorClass::Retry]);
    }

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
