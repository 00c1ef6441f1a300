//! Async functions as handlers: the job first, then what they want to know.

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Handler;
use super::context::Context;
use super::data::{MissingData, Provided};
use super::extract::FromContext;
use super::failure::{BoxError, IntoFailure};
use super::outcome::{IntoOutcome, Outcome};
use super::service::PayloadTooNew;
use crate::job::{DecodeError, Job, decode};

/// A run on its way. An error that is [`PayloadTooNew`] leaves the job to others; every other one is a failure.
pub(crate) type Running = BoxFuture<'static, Result<Outcome, BoxError>>;

/// A handler with its types erased. One box per run, which holds the handler's future itself.
pub trait ErasedHandler: Send + Sync {
    #[doc(hidden)]
    fn run(self: Arc<Self>, context: Context) -> Running;

    /// Whether the worker was given what the handler asks for.
    #[doc(hidden)]
    fn check(&self, provided: &Provided) -> Result<(), MissingData>;
}

/// What can be a handler: an async function whose first argument is its [`Job`] and whose others, up to eight in any
/// order, are [extractors](FromContext); or a type that implements [`Handler`]. `Marker` tells them apart and is inferred.
///
/// A closure is a function too; one that captures something clones it into each future:
/// `move |job: SendMail| { let mailer = mailer.clone(); async move { … } }`.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_queue::{AttemptNumber, Broker, Context, Data, Failure, Job, JobId, MemoryBroker, QueueOptions, Worker};
/// # #[derive(Clone)] struct Mailer;
/// # impl Mailer { async fn send(&self, _: &str, _: &str) -> Result<u32, std::io::Error> { Ok(250) } }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct SendMail { to: String }
///
/// impl Job for SendMail {
///     const KIND: &'static str = "send-mail";
///     const QUEUE: &'static str = "email";
/// }
///
/// async fn send_mail(job: SendMail, id: JobId, Data(mailer): Data<Mailer>) -> Result<u32, Failure> {
///     Ok(mailer.send(&job.to, id.as_str()).await?)
/// }
///
/// let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// let worker = Worker::builder(broker)
///     .queue("email", QueueOptions::new())
///     .data(Mailer)
///     .handler(send_mail)
///     .build()?;
/// # Ok::<(), tidegate_queue::BuildError>(())
/// ```
///
/// A function without a job doesn't compile:
///
/// ```compile_fail
/// # let broker: std::sync::Arc<dyn tidegate_queue::Broker> = std::sync::Arc::new(tidegate_queue::MemoryBroker::new());
/// async fn no_job(context: tidegate_queue::Context) {}
/// tidegate_queue::Worker::builder(broker).handler(no_job);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job handler",
    label = "not a job handler",
    note = "a handler is an async function `async fn(job, extractors…) -> outcome`: its first argument is a type that \
            implements `Job`, the others (up to eight) implement `FromContext`, and it returns what implements \
            `IntoOutcome`; its future must be `Send`",
    note = "or it is a type that implements `Handler<J>`"
)]
pub trait IntoHandler<Marker> {
    /// The job that it runs.
    type Job: Job;

    #[doc(hidden)]
    fn into_erased(self) -> Arc<dyn ErasedHandler>;
}

/// Marks handlers that are functions of these arguments.
pub struct Function<Arguments>(PhantomData<fn(Arguments)>);

struct Erased<M, H> {
    handler: H,
    marker: PhantomData<fn() -> M>,
}

impl<J: Job, H: Handler<J>> IntoHandler<J> for H {
    type Job = J;

    fn into_erased(self) -> Arc<dyn ErasedHandler> {
        Arc::new(Erased { handler: self, marker: PhantomData::<fn() -> J> })
    }
}

impl<J: Job, H: Handler<J>> ErasedHandler for Erased<J, H> {
    fn run(self: Arc<Self>, context: Context) -> Running {
        Box::pin(async move {
            match typed::<J>(&context)? {
                Ok(job) => Ok(self.handler.run(job, &context).await),
                Err(outcome) => Ok(outcome),
            }
        })
    }

    fn check(&self, _: &Provided) -> Result<(), MissingData> {
        Ok(())
    }
}

/// The job; or what becomes of one that no release can read.
fn typed<J: Job>(context: &Context) -> Result<Result<J, Outcome>, PayloadTooNew> {
    match decode::<J>(context.job().version, &context.job().payload) {
        Ok(job) => Ok(Ok(job)),
        Err(DecodeError::TooNew { found, supported }) => Err(PayloadTooNew { found, supported }),
        Err(error) => Ok(Err(Outcome::bury(error))),
    }
}

macro_rules! functions {
    ($( ($($X:ident),*) )*) => { $(
        impl<F, Fut, J, $($X,)*> IntoHandler<Function<(J, $($X,)*)>> for F
        where
            F: Fn(J, $($X),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            J: Job,
            $( $X: FromContext + 'static, )*
        {
            type Job = J;

            fn into_erased(self) -> Arc<dyn ErasedHandler> {
                Arc::new(Erased { handler: self, marker: PhantomData::<fn() -> Function<(J, $($X,)*)>> })
            }
        }

        impl<F, Fut, J, $($X,)*> ErasedHandler for Erased<Function<(J, $($X,)*)>, F>
        where
            F: Fn(J, $($X),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send + 'static,
            J: Job,
            $( $X: FromContext + 'static, )*
        {
            #[allow(non_snake_case, reason = "an argument is named after its type")]
            fn run(self: Arc<Self>, context: Context) -> Running {
                Box::pin(async move {
                    let job = match typed::<J>(&context)? {
                        Ok(job) => job,
                        Err(outcome) => return Ok(outcome),
                    };
                    $(
                        let $X = match $X::from_context(&context).await {
                            Ok(argument) => argument,
                            Err(error) => return Ok(error.into_failure().into_outcome()),
                        };
                    )*
                    drop(context);
                    Ok((self.handler)(job, $($X),*).await.into_outcome())
                })
            }

            fn check(&self, provided: &Provided) -> Result<(), MissingData> {
                let _ = provided;
                $( $X::check(provided)?; )*
                Ok(())
            }
        }
    )* };
}

functions! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, G)
    (A, B, C, D, E, G, H)
    (A, B, C, D, E, G, H, I)
}
