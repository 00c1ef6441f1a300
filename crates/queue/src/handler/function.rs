//! Async functions as handlers: the first argument is the job, the others are extractors.

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Handler;
use super::class::BoxError;
use super::context::Context;
use super::error::{MissingData, PayloadTooNew};
use super::extract::FromContext;
use super::failure::{Failure, IntoFailure};
use super::into_outcome::IntoOutcome;
use super::outcome::Outcome;
use super::provided::Provided;
use crate::decode::{DecodeError, decode};
use tidegate_queue_broker::Job;

/// A running handler. A [`PayloadTooNew`] error leaves the job to other workers; any other error is
/// a failure.
pub(crate) type Running = BoxFuture<'static, Result<Outcome, BoxError>>;

/// A handler with its types erased. One box per run, which contains the handler's future.
pub trait ErasedHandler: Send + Sync + 'static {
    #[doc(hidden)]
    fn kind(&self) -> &'static str;

    /// The queue of the handler's job.
    #[doc(hidden)]
    fn queue(&self) -> &'static str;

    #[doc(hidden)]
    fn run(self: Arc<Self>, context: Context) -> Running;

    /// Checks that the worker was given the data that the handler extracts.
    #[doc(hidden)]
    fn check(&self, provided: &Provided) -> Result<(), MissingData>;
}

/// A handler: an async function or a type that implements [`Handler`]. The function's first
/// argument is its [`Job`]. The others are [extractors](FromContext), up to eight in any order.
/// `Marker` distinguishes the cases and is inferred.
///
/// A closure is a function too. A closure that captures a value clones it into each future: `move
/// |job: SendMail| { let mailer = mailer.clone(); async move { … } }`.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_queue::{AttemptNumber, Broker, Context, Data, Failure, Job, JobId};
/// use tidegate_queue::{MemoryBroker, QueueOptions, Worker};
/// # #[derive(Clone)] struct Mailer;
/// # impl Mailer {
/// #     async fn send(&self, _: &str, _: &str) -> Result<u32, std::io::Error> { Ok(250) }
/// # }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct SendMail { to: String }
///
/// impl Job for SendMail {
///     const KIND: &'static str = "send-mail";
///     const QUEUE: &'static str = "email";
/// }
///
/// async fn send_mail(
///     job: SendMail,
///     id: JobId,
///     Data(mailer): Data<Mailer>,
/// ) -> Result<u32, Failure> {
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
/// # use std::sync::Arc;
/// # use tidegate_queue::{Broker, MemoryBroker};
/// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// async fn no_job(context: tidegate_queue::Context) {}
/// tidegate_queue::Worker::builder(broker).handler(no_job);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job handler",
    label = "not a job handler",
    note = "a handler is an async function `async fn(job, extractors…) -> outcome` with one to nine arguments, the first of \
            them the job; or a type that implements `Handler<J>`"
)]
pub trait IntoHandler<Marker> {
    /// The handler with its parts as type parameters. The bounds are on this type, not on the
    /// function, so that the compiler names the part that is wrong.
    type Handler;

    /// Converts into that type.
    fn into_handler(self) -> Self::Handler;
}

/// Marks handlers that are functions with these arguments.
pub struct Function<Arguments>(PhantomData<fn(Arguments)>);

/// A handler that is a type with its own state.
pub struct ObjectHandler<J, H> {
    handler: H,
    job: PhantomData<fn() -> J>,
}

impl<J: Job, H: Handler<J>> IntoHandler<J> for H {
    type Handler = ObjectHandler<J, H>;

    fn into_handler(self) -> ObjectHandler<J, H> {
        ObjectHandler { handler: self, job: PhantomData }
    }
}

impl<J: Job, H: Handler<J>> ErasedHandler for ObjectHandler<J, H> {
    fn kind(&self) -> &'static str {
        J::KIND
    }

    fn queue(&self) -> &'static str {
        J::QUEUE
    }

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

/// A function with a job and a tuple of arguments.
pub struct FunctionHandler<F, J, Arguments> {
    function: F,
    arguments: PhantomData<fn(J, Arguments)>,
}

/// A function that is called with its arguments in a tuple.
pub trait Call<J, Arguments>: Send + Sync + 'static {
    #[doc(hidden)]
    type Future;

    #[doc(hidden)]
    fn call(&self, job: J, arguments: Arguments) -> Self::Future;
}

impl<F, J, Arguments> ErasedHandler for FunctionHandler<F, J, Arguments>
where
    F: Call<J, Arguments, Future: Future<Output: IntoOutcome> + Send + 'static>,
    J: Job,
    Arguments: FromContext + 'static,
{
    fn kind(&self) -> &'static str {
        J::KIND
    }

    fn queue(&self) -> &'static str {
        J::QUEUE
    }

    fn run(self: Arc<Self>, context: Context) -> Running {
        Box::pin(async move {
            let job = match typed::<J>(&context)? {
                Ok(job) => job,
                Err(outcome) => return Ok(outcome),
            };
            let arguments = match Arguments::from_context(&context).await {
                Ok(arguments) => arguments,
                Err(error) => return Ok(error.into_failure().into_outcome()),
            };
            Ok(self.function.call(job, arguments).await.into_outcome())
        })
    }

    fn check(&self, provided: &Provided) -> Result<(), MissingData> {
        Arguments::check(provided)
    }
}

/// Decodes the job. `Ok(Err)` is the outcome of a job that no release can decode.
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
        {
            type Handler = FunctionHandler<F, J, ($($X,)*)>;

            fn into_handler(self) -> Self::Handler {
                FunctionHandler { function: self, arguments: PhantomData }
            }
        }

        impl<F, Fut, J, $($X,)*> Call<J, ($($X,)*)> for F
        where
            F: Fn(J, $($X),*) -> Fut + Send + Sync + 'static,
        {
            type Future = Fut;

            #[allow(non_snake_case, reason = "an argument is named after its type")]
            fn call(&self, job: J, ($($X,)*): ($($X,)*)) -> Fut {
                self(job, $($X),*)
            }
        }

        /// Extracts each in turn. Stops at the first error.
        impl<$($X: FromContext),*> FromContext for ($($X,)*) {
            type Error = Failure;

            #[allow(unused_variables, reason = "the empty tuple asks for nothing")]
            async fn from_context(context: &Context) -> Result<Self, Failure> {
                Ok(($($X::from_context(context).await.map_err(IntoFailure::into_failure)?,)*))
            }

            #[allow(unused_variables, reason = "the empty tuple asks for nothing")]
            fn check(provided: &Provided) -> Result<(), MissingData> {
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
