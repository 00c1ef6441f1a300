//! Data that all handlers of a worker share, by type.

use std::any::{Any, TypeId, type_name};
use std::convert::Infallible;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::context::Context;
use super::extract::FromContext;
use super::failure::{ErrorClass, JobError};

/// Delay of a job whose handler extracts data that the worker lacks.
const MISSING_PAUSE: Duration = Duration::from_secs(30);

/// The worker was not given the data that a handler extracts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker was given no data of type {type_name}")]
pub struct MissingData {
    /// The missing type.
    pub type_name: &'static str,
}

/// Snoozed for 30 s: another worker may have the data.
impl JobError for MissingData {
    fn class(&self) -> ErrorClass {
        ErrorClass::Snooze(MISSING_PAUSE)
    }
}

/// The data given to a worker with [`WorkerBuilder::data`](crate::WorkerBuilder::data).
// A list, since it is short and read for each run.
#[derive(Default)]
pub struct Provided(Vec<(TypeId, Box<dyn Any + Send + Sync>)>);

impl Provided {
    /// Adds data. Returns whether the type was new.
    pub(crate) fn add<T: Clone + Send + Sync + 'static>(&mut self, data: T) -> bool {
        let is_new = self.get::<T>().is_err();
        self.0.push((TypeId::of::<T>(), Box::new(data)));
        is_new
    }

    /// Returns the data of this type.
    ///
    /// # Errors
    /// [`MissingData`] if there is none.
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Result<&T, MissingData> {
        let found = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>());
        found.and_then(|(_, data)| data.downcast_ref()).ok_or(MissingData { type_name: type_name::<T>() })
    }
}

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
/// # impl Job for Greet { const KIND: &'static str = "greet"; const QUEUE: &'static str = "email"; }
/// #[derive(Clone)]
/// struct Mailer;
///
/// async fn greet(job: Greet, Data(mailer): Data<Mailer>) {
///     // mailer.send(&job.name).await
/// }
///
/// let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
/// let worker = || Worker::builder(broker.clone()).queue("email", QueueOptions::new()).handler(greet);
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
