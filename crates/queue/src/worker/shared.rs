//! State that all parts of a worker share.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lease_book::LeaseBook;
use crate::event::Event;
use crate::group::EndedMembers;
use crate::handler::{Context, HandlerService, Registered, Registry, Resources, Running};
use tidegate_queue_broker::WorkerId;

/// State shared by all parts of a worker.
pub(crate) struct Shared {
    pub(crate) id: WorkerId,
    pub(crate) resources: Arc<Resources>,
    pub(crate) handlers: Arc<Registry>,
    pub(crate) layers: Option<HandlerService>,
    pub(crate) lease: Duration,
    pub(crate) stop_timeout: Duration,
    pub(crate) unknown_delay: Duration,
    /// Creates the span of a run.
    pub(crate) span: Box<dyn Fn(&Context) -> tracing::Span + Send + Sync>,
    pub(crate) leases: LeaseBook,
    pub(crate) ended_members: EndedMembers,
    /// Cancelled when the grace period of a shutdown has ended.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// Passes an event to the observer. Catches its panics, so that work and heartbeats continue.
    pub(crate) fn notify(&self, event: &Event<'_>) {
        self.resources.notify(event);
    }

    /// Runs a job through the layers, if there are any.
    pub(crate) fn run(&self, handler: &Registered, context: Context) -> Running {
        match &self.layers {
            None => handler.run_bare(context),
            Some(layers) => layers.run(context),
        }
    }
}
