//! Handlers as a tower service, so that layers can wrap them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tower_layer::Layer;
use tower_service::Service;

use super::class::BoxError;
use super::context::Context;
use super::function::Running;
use super::outcome::Outcome;
use super::registry::Registry;

/// The service that a layer wraps: all handlers of a worker, with the inner layers. Cheap to clone,
/// always ready.
///
/// Any tower layer over it can be used, for example one made of a function:
///
/// ```
/// # use std::sync::Arc;
/// # use tidegate_queue::{Broker, Job, MemoryBroker, QueueOptions, Worker};
/// use tidegate_queue::{Context, HandlerService};
/// use tower::{ServiceExt, layer::layer_fn, service_fn};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Greet { name: String }
/// # impl Job for Greet {
/// #     const KIND: &'static str = "greet";
/// #     const QUEUE: &'static str = "email";
/// # }
/// # async fn greet(job: Greet) {}
/// # let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
///
/// let logged = layer_fn(|inner: HandlerService| {
///     service_fn(move |context: Context| {
///         let inner = inner.clone();
///         async move {
///             let id = context.id().clone();
///             let outcome = inner.oneshot(context).await;
///             tracing::info!(%id, ?outcome, "ran");
///             outcome
///         }
///     })
/// });
/// let worker = Worker::builder(broker).queue("email", QueueOptions::new());
/// let worker = worker.layer(logged).handler(greet).build()?;
/// # Ok::<(), tidegate_queue::BuildError>(())
/// ```
#[derive(Clone)]
pub struct HandlerService(Arc<dyn Stacked>);

/// A layer that is applied when the worker is built.
pub(crate) type ErasedLayer = Box<dyn FnOnce(HandlerService) -> HandlerService + Send>;

trait Stacked: Send + Sync {
    fn run(&self, context: Context) -> Running;
}

struct Innermost(Arc<Registry>);

impl Stacked for Innermost {
    fn run(&self, context: Context) -> Running {
        match self.0.get(context.kind()) {
            Some(registered) => registered.run_bare(context.clone()),
            // Unexpected: the worker looks the handler up first.
            None => Box::pin(async move { Err(format!("no handler for kind {}", context.kind()).into()) }),
        }
    }
}

struct Wrapped<S>(S);

impl<S> Stacked for Wrapped<S>
where
    S: Service<Context, Response = Outcome> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn run(&self, context: Context) -> Running {
        let mut service = self.0.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
            service.call(context).await.map_err(Into::into)
        })
    }
}

impl HandlerService {
    /// Applies the layers to the handlers. The first layer is the outermost. `None` if there are
    /// none. All kinds share one stack, so a layer counts or limits over all kinds.
    pub(crate) fn stack(layers: Vec<ErasedLayer>, handlers: &Arc<Registry>) -> Option<Self> {
        if layers.is_empty() {
            return None;
        }
        let innermost = Self(Arc::new(Innermost(handlers.clone())));
        Some(layers.into_iter().rev().fold(innermost, |inner, layer| layer(inner)))
    }

    pub(crate) fn erase<L>(layer: L) -> ErasedLayer
    where
        L: Layer<Self> + Send + 'static,
        L::Service: Service<Context, Response = Outcome> + Clone + Send + Sync + 'static,
        <L::Service as Service<Context>>::Error: Into<BoxError>,
        <L::Service as Service<Context>>::Future: Send,
    {
        Box::new(move |inner| Self(Arc::new(Wrapped(layer.layer(inner)))))
    }

    pub(crate) fn run(&self, context: Context) -> Running {
        self.0.run(context)
    }
}

impl Service<Context> for HandlerService {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Running;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, context: Context) -> Running {
        self.0.run(context)
    }
}
