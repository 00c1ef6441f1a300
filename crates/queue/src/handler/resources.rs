//! Values of a worker that its runs use.

use std::sync::Arc;

use super::provided::Provided;
use crate::event::{Event, Observer, notify};
use tidegate_queue_broker::Broker;

/// Values of a worker that each of its runs uses.
pub(crate) struct Resources {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) data: Provided,
}

impl Resources {
    /// Passes an event to the observer. Catches its panics, so that work and heartbeats continue.
    pub(crate) fn notify(&self, event: &Event<'_>) {
        notify(&*self.observer, event);
    }
}
