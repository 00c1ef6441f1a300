//! Data that all handlers of a worker share, by type.

use std::convert::Infallible;
use std::ops::{Deref, DerefMut};

use super::context::Context;
use super::error::MissingData;
use super::extract::FromContext;
use super::provided::Provided;

/// Extracts data that the worker was given, by its type: a pool, a client, settings.
///
/// The data is cloned for each run: put values that are expensive to clone into an
/// [`Arc`](std::sync::Arc). If the worker was not given the data,
/// [`build`](crate::WorkerBuilder::build) fails. `Option<Data<T>>` accepts that the data is
/// missing.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_queue::{Broker, BuildError, Data, Job, MemoryBroker, QueueOptions, Worker};
///
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Greet { name: String }
/// # impl Job for Greet {
/// #     const KIND: &'static str = "greet";
/// #     const QUEUE: &'static str = "email";
/// # }
/// #[derive(Clone)]
/// struct Mailer;
///
/// async fn greet(job: Greet, Data(mailer): Data<Mailer>) {
///     // mailer.send(&job.name).await
/// }
///
/// let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// let worker = || {
///     Worker::builder(broker.clone()).queue("email", QueueOptions::new()).handler(greet)
/// };
/// assert!(worker().data(Mailer).build().is_ok());
/// assert!(matches!(worker().build(), Err(BuildError::MissingData { kind: "greet", .. })));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data<T>(pub T);

impl<T> Deref for Data<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Data<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Clone + Send + Sync + 'static> FromContext for Data<T> {
    type Error = MissingData;

    async fn from_context(context: &Context) -> Result<Self, MissingData> {
        context.data().cloned().map(Self)
    }

    fn check(provided: &Provided) -> Result<(), MissingData> {
        provided.get::<T>().map(drop)
    }
}

impl<T: Clone + Send + Sync + 'static> FromContext for Option<Data<T>> {
    type Error = Infallible;

    async fn from_context(context: &Context) -> Result<Self, Infallible> {
        Ok(Data::from_context(context).await.ok())
    }
}
