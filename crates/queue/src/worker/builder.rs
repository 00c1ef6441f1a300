//! The builder of a worker.

use std::any::type_name;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use super::lease_book::LeaseBook;
use super::options::QueueOptions;
use super::shared::Shared;
use super::{Worker, run};
use crate::error::BuildError;
use crate::event::{LogEvents, Observer};
use crate::group::EndedMembers;
use crate::handler::{
    BoxError, Context, ErasedHandler, ErasedLayer, HandlerOptions, HandlerService, IntoHandler, Outcome, Provided,
    Registry, Resources,
};
use tidegate_queue_broker::{Broker, WorkerId, check_queue_name};

/// Builds a [`Worker`].
#[must_use]
pub struct WorkerBuilder {
    broker: Arc<dyn Broker>,
    observer: Arc<dyn Observer>,
    queues: Vec<(String, QueueOptions)>,
    handlers: Registry,
    layers: Vec<ErasedLayer>,
    data: Provided,
    fault: Option<BuildError>,
    lease: Duration,
    grace: Duration,
    stop_timeout: Duration,
    unknown_delay: Duration,
    span: Box<dyn Fn(&Context) -> Span + Send + Sync>,
    schedules: bool,
}

impl Worker {
    /// Creates a builder.
    pub fn builder(broker: Arc<dyn Broker>) -> WorkerBuilder {
        WorkerBuilder::new(broker)
    }
}

impl WorkerBuilder {
    fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            observer: Arc::new(LogEvents),
            queues: Vec::new(),
            handlers: Registry::default(),
            layers: Vec::new(),
            data: Provided::default(),
            fault: None,
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(25),
            stop_timeout: Duration::from_secs(1),
            unknown_delay: Duration::from_secs(30),
            span: Box::new(run::usual_span),
            schedules: false,
        }
    }

    /// Adds a queue to serve.
    pub fn queue(mut self, name: &str, options: QueueOptions) -> Self {
        self.queues.push((name.to_owned(), options));
        self
    }

    /// Provides shared data to all handlers, which extract it by type with [`Data`](crate::Data).
    /// Cloned for each run.
    pub fn data<T: Clone + Send + Sync + 'static>(mut self, data: T) -> Self {
        if !self.data.add(data) {
            self.fault.get_or_insert(BuildError::DuplicateData(type_name::<T>()));
        }
        self
    }

    /// Adds the handler for jobs of one kind, from any served queue: an async function or a
    /// [`Handler`](crate::Handler), see [`IntoHandler`]. The worker must serve the job's own queue,
    /// unless [`HandlerOptions::any_queue`] is set. Jobs of a kind without a handler are put back
    /// with a delay and a note, for a worker that knows the kind.
    pub fn handler<M, H>(self, handler: H) -> Self
    where
        H: IntoHandler<M, Handler: ErasedHandler>,
    {
        self.handler_with(handler, HandlerOptions::new())
    }

    /// Adds the handler for jobs of one kind, with its own options. Kinds differ in how they should
    /// be retried.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use tidegate_queue::{Backoff, Broker, HandlerOptions, Job, MemoryBroker};
    /// # use tidegate_queue::{QueueOptions, RetryPolicy, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Charge { cents: u64 }
    /// # impl Job for Charge {
    /// #     const KIND: &'static str = "charge";
    /// #     const QUEUE: &'static str = "billing";
    /// # }
    /// # async fn charge(job: Charge) {}
    /// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    /// let hourly = RetryPolicy::new(24, Backoff::Fixed(Duration::from_secs(3600)))?;
    /// let options = HandlerOptions::new().retry(hourly).timeout(Duration::from_secs(30));
    /// let worker = Worker::builder(broker)
    ///     .queue("billing", QueueOptions::new())
    ///     .handler_with(charge, options)
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handler_with<M, H>(mut self, handler: H, options: HandlerOptions) -> Self
    where
        H: IntoHandler<M, Handler: ErasedHandler>,
    {
        if let Err(kind) = self.handlers.add(Arc::new(handler.into_handler()), options) {
            self.fault.get_or_insert(BuildError::DuplicateKind(kind));
        }
        self
    }

    /// Adds a tower layer around all handlers, also around those added later. The first layer is
    /// the outermost, as in tower's `ServiceBuilder`. The worker has one stack of layers, so a
    /// layer that counts or limits does so over all kinds and queues.
    ///
    /// The layer wraps a [`HandlerService`]. Its request is the run's [`Context`] and its response
    /// is the [`Outcome`]. An error of the layer counts as a handler's error: the job is retried,
    /// or treated by the class of a [`Failure`](crate::Failure) in the error. A run that waits in a
    /// layer occupies its slot, keeps its lease, and its time-out runs. Jobs of unknown kinds don't
    /// reach the layers. Each layer costs one allocation per run; without layers there is no such
    /// cost.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use tidegate_queue::{Broker, Job, MemoryBroker, QueueOptions, Worker};
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Greet { name: String }
    /// # impl Job for Greet {
    /// #     const KIND: &'static str = "greet";
    /// #     const QUEUE: &'static str = "email";
    /// # }
    /// # async fn greet(job: Greet) {}
    /// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    /// let worker = Worker::builder(broker)
    ///     .queue("email", QueueOptions::new())
    ///     .layer(tower::limit::ConcurrencyLimitLayer::new(100))
    ///     .layer(tower::timeout::TimeoutLayer::new(Duration::from_secs(10)))
    ///     .handler(greet)
    ///     .build()?;
    /// # Ok::<(), tidegate_queue::BuildError>(())
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + 'static,
        L::Service: Service<Context, Response = Outcome> + Clone + Send + Sync + 'static,
        <L::Service as Service<Context>>::Error: Into<BoxError>,
        <L::Service as Service<Context>>::Future: Send,
    {
        self.layers.push(HandlerService::erase(layer));
        self
    }

    /// Sets the lease, 30 s by default: the shortest time after a crash before its jobs run again.
    /// Leases are renewed after a third of it, at most 5 s. A cancellation is noticed after the
    /// same time. Use the same lease for all workers of a queue: each worker reclaims by its own
    /// lease after a pause or a jump of the clock.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the grace period: how long running jobs may continue after a shutdown began, 25 s by
    /// default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how long a run may take to end by itself after it was stopped, 1 s by default.
    /// Then it is aborted. A run is stopped when it is cancelled or timed out, its lease is lost,
    /// or the grace period is over.
    pub fn stop_timeout(mut self, stop_timeout: Duration) -> Self {
        self.stop_timeout = stop_timeout;
        self
    }

    /// Sets how long a job of an unknown kind is delayed, 30 s by default.
    pub fn unknown_delay(mut self, delay: Duration) -> Self {
        self.unknown_delay = delay;
        self
    }

    /// Makes the worker also run a scheduler for [`Schedules`](crate::Schedules): it enqueues
    /// scheduled jobs of all queues when they are due. Any number of workers may do so. Costs two
    /// reads every five seconds.
    pub fn schedules(mut self) -> Self {
        self.schedules = true;
        self
    }

    /// Sets the `tracing` span of each run. The default span is `job` at level `INFO`, with the
    /// queue, the kind, the id, the attempt and the [`trace_parent`](Context::trace_parent) as
    /// fields.
    ///
    /// `span` is called at the start of each run, before the span is entered. An exporter of traces
    /// makes the span a child of the job's `traceparent` here; in a handler or a layer it is too
    /// late. `span` must not block and must not panic.
    pub fn span(mut self, span: impl Fn(&Context) -> Span + Send + Sync + 'static) -> Self {
        self.span = Box::new(span);
        self
    }

    /// Sets the observer, in place of [`LogEvents`](crate::LogEvents).
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Checks the description and builds the worker.
    ///
    /// # Errors
    /// [`BuildError`] names the fault.
    pub fn build(self) -> Result<Worker, BuildError> {
        if self.queues.is_empty() {
            return Err(BuildError::NoQueue);
        }
        for (nth, (name, _)) in self.queues.iter().enumerate() {
            check_queue_name(name)
                .map_err(|source| BuildError::QueueName { queue: name.chars().take(80).collect(), source })?;
            if self.queues[..nth].iter().any(|(other, _)| other == name) {
                return Err(BuildError::DuplicateQueue(name.clone()));
            }
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.handlers.is_empty() {
            return Err(BuildError::NoHandler);
        }
        if let Some((kind, queue)) = self.handlers.unserved(|name| self.queues.iter().any(|(served, _)| served == name))
        {
            return Err(BuildError::QueueNotServed { kind, queue });
        }
        self.handlers
            .check(&self.data)
            .map_err(|(kind, missing)| BuildError::MissingData { kind, type_name: missing.type_name })?;
        if self.lease < Duration::from_millis(100) {
            return Err(BuildError::LeaseTooShort);
        }
        let handlers = Arc::new(self.handlers);
        let shared = Shared {
            id: WorkerId::generate(),
            resources: Arc::new(Resources { broker: self.broker, observer: self.observer, data: self.data }),
            layers: HandlerService::stack(self.layers, &handlers),
            handlers,
            lease: self.lease,
            stop_timeout: self.stop_timeout,
            unknown_delay: self.unknown_delay,
            span: self.span,
            leases: LeaseBook::default(),
            ended_members: EndedMembers::default(),
            stop: CancellationToken::new(),
        };
        Ok(Worker { shared: Arc::new(shared), queues: self.queues, grace: self.grace, schedules: self.schedules })
    }
}
