//! Handlers: user code that runs jobs, its arguments and its results.

mod chain;
mod checkpoint;
mod class;
mod classes;
mod classify;
mod context;
mod data;
mod error;
mod extract;
mod failure;
mod function;
mod into_outcome;
mod options;
mod outcome;
mod progress;
mod provided;
mod registry;
mod resources;
mod service;
mod verdict;

use async_trait::async_trait;

use tidegate_queue_broker::Job;

pub use checkpoint::Checkpoint;
pub use class::{BoxError, ErrorClass, JobError};
pub use classify::{Classed, Classify};
pub use context::Context;
pub use data::Data;
pub use error::{CheckpointError, LeaseLost, MissingData, PayloadTooNew};
pub use extract::{AttemptNumber, FromContext, TraceParent};
pub use failure::{Failure, IntoFailure};
pub use function::{Function, IntoHandler};
pub use into_outcome::IntoOutcome;
pub use options::HandlerOptions;
pub use outcome::Outcome;
pub use progress::ProgressReporter;
pub use provided::Provided;
pub use service::HandlerService;

pub(crate) use service::ErasedLayer;

pub(crate) use function::{ErasedHandler, Running};
pub(crate) use registry::{Registered, Registry};
pub(crate) use resources::Resources;
pub(crate) use verdict::Verdict;

/// Runs jobs of one kind. For types that have their own state; an async function is a handler by
/// itself, see [`IntoHandler`].
///
/// Either may run twice for one job, and concurrently if a lease was lost: make it idempotent. A
/// panic counts as a failure. Code that blocks should use [`tokio::task::spawn_blocking`]; its
/// lease is renewed in either case.
///
/// ```
/// use tidegate_queue::{Context, Handler, Job, Outcome};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Greet { name: String }
///
/// impl Job for Greet {
///     const KIND: &'static str = "greet";
///     const QUEUE: &'static str = "email";
/// }
///
/// struct Greeter { greeting: String }
///
/// #[async_trait::async_trait]
/// impl Handler<Greet> for Greeter {
///     async fn run(&self, job: Greet, context: &Context) -> Outcome {
///         Outcome::done(format!("{} {}, attempt {}", self.greeting, job.name, context.attempt()))
///     }
/// }
/// # use std::sync::Arc;
/// # use tidegate_queue::{Broker, MemoryBroker};
/// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// # let worker = tidegate_queue::Worker::builder(broker);
/// let worker = worker.handler(Greeter { greeting: "hello".into() });
/// ```
#[async_trait]
pub trait Handler<J: Job>: Send + Sync + 'static {
    /// Runs one job.
    async fn run(&self, job: J, context: &Context) -> Outcome;
}
