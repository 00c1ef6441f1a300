//! Arguments of handler functions, extracted from the context of the run.

use std::convert::Infallible;

use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::MissingData;
use super::failure::IntoFailure;
use super::provided::Provided;
use tidegate_queue_broker::JobId;

/// An argument of a handler function, besides its job.
///
/// This crate provides [`Data`](crate::Data), [`Context`],
/// [`ProgressReporter`](crate::ProgressReporter), [`Checkpoint`](crate::Checkpoint),
/// [`CancellationToken`], [`AttemptNumber`], [`TraceParent`] and [`JobId`]. If an extractor fails,
/// the run ends with its error. As `Result<X, X::Error>`, the handler gets the error instead.
///
/// ```
/// use tidegate_queue::{Context, ErrorClass, FromContext, JobError, MissingData, Provided};
///
/// # #[derive(Clone)] struct Tenants;
/// # impl Tenants { async fn find(&self, _id: &str) -> Option<String> { Some("acme".into()) } }
/// /// The tenant that the job's id starts with.
/// struct Tenant(String);
///
/// #[derive(Debug, thiserror::Error)]
/// enum NoTenant {
///     #[error("no tenant of this name")]
///     Unknown,
///     #[error(transparent)]
///     Missing(#[from] MissingData),
/// }
///
/// impl JobError for NoTenant {
///     fn class(&self) -> ErrorClass {
///         match self {
///             Self::Unknown => ErrorClass::Bury,
///             Self::Missing(error) => error.class(),
///         }
///     }
/// }
///
/// impl FromContext for Tenant {
///     type Error = NoTenant;
///
///     async fn from_context(context: &Context) -> Result<Self, NoTenant> {
///         let name = context.id().as_str().split(':').next().unwrap_or_default();
///         let tenants = context.data::<Tenants>()?;
///         tenants.find(name).await.map(Self).ok_or(NoTenant::Unknown)
///     }
///
///     // A worker without tenants is not built.
///     fn check(provided: &Provided) -> Result<(), MissingData> {
///         provided.get::<Tenants>().map(drop)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a job handler",
    label = "not an extractor",
    note = "after the job a handler takes extractors: `Data<T>`, `Context`, `ProgressReporter`, `Checkpoint<T>`, \
            `CancellationToken`, `AttemptNumber`, `JobId`, or a type of your own that implements `FromContext`",
    note = "data of type `{Self}` that the worker was given is extracted as `Data<{Self}>`"
)]
pub trait FromContext: Sized + Send {
    /// Error of the extraction. Its class decides the outcome of the job.
    type Error: IntoFailure;

    /// Extracts the argument from the context of one run.
    ///
    /// # Errors
    /// Why the argument could not be extracted.
    fn from_context(context: &Context) -> impl Future<Output = Result<Self, Self::Error>> + Send;

    /// Checks, before the worker starts, that it was given the data this extractor needs. Needs
    /// nothing by default.
    ///
    /// # Errors
    /// [`MissingData`] names the first thing that is missing.
    fn check(provided: &Provided) -> Result<(), MissingData> {
        let _ = provided;
        Ok(())
    }
}

/// Extracts the number of the attempt, from 1. See [`Context::attempt`].
///
/// ```
/// use tidegate_queue::AttemptNumber;
/// # struct Greet;
/// async fn greet(job: Greet, AttemptNumber(attempt): AttemptNumber) {
///     tracing::info!(attempt, "greeting");
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptNumber(pub u32);

impl FromContext for AttemptNumber {
    type Error = Infallible;

    async fn from_context(context: &Context) -> Result<Self, Infallible> {
        Ok(Self(context.attempt()))
    }
}

/// Extracts the W3C `traceparent` that the job was enqueued with. See [`Context::trace_parent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(pub Option<String>);

impl FromContext for TraceParent {
    type Error = Infallible;

    async fn from_context(context: &Context) -> Result<Self, Infallible> {
        Ok(Self(context.trace_parent().map(str::to_owned)))
    }
}

impl FromContext for Context {
    type Error = Infallible;

    async fn from_context(context: &Context) -> Result<Self, Infallible> {
        Ok(context.clone())
    }
}

impl FromContext for JobId {
    type Error = Infallible;

    async fn from_context(context: &Context) -> Result<Self, Infallible> {
        Ok(context.id().clone())
    }
}

/// Cancelled when the run should end. See [`Context::cancelled`].
impl FromContext for CancellationToken {
    type Error = Infallible;

    async fn from_context(context: &Context) -> Result<Self, Infallible> {
        Ok(context.cancelled().clone())
    }
}

/// Passes the extractor's error to the handler.
impl<X: FromContext> FromContext for Result<X, X::Error>
where
    X::Error: Send,
{
    type Error = Infallible;

    async fn from_context(context: &Context) -> Result<Self, Infallible> {
        Ok(X::from_context(context).await)
    }

    fn check(provided: &Provided) -> Result<(), MissingData> {
        X::check(provided)
    }
}
