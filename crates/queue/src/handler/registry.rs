//! Handlers by kind. The job types are erased.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::Context;
use super::error::MissingData;
use super::function::{ErasedHandler, Running};
use super::options::HandlerOptions;
use super::provided::Provided;

/// A handler with its options.
pub(crate) struct Registered {
    handler: Arc<dyn ErasedHandler>,
    pub(crate) options: HandlerOptions,
}

impl Registered {
    /// Runs a job without the layers.
    pub(crate) fn run_bare(&self, context: Context) -> Running {
        self.handler.clone().run(context)
    }
}

/// Handlers by kind.
#[derive(Default)]
pub(crate) struct Registry(HashMap<&'static str, Registered>);

impl Registry {
    /// Returns the kind as the error if it has a handler already.
    pub(crate) fn add(&mut self, handler: Arc<dyn ErasedHandler>, options: HandlerOptions) -> Result<(), &'static str> {
        let kind = handler.kind();
        let registered = Registered { handler, options };
        if self.0.insert(kind, registered).is_none() { Ok(()) } else { Err(kind) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, kind: &str) -> Option<&Registered> {
        self.0.get(kind)
    }

    /// Checks that the data each handler extracts was provided. The error names the kind of one for
    /// which it was not.
    pub(crate) fn check(&self, provided: &Provided) -> Result<(), (&'static str, MissingData)> {
        let mut kinds: Vec<_> = self.0.iter().collect();
        kinds.sort_unstable_by_key(|(kind, _)| **kind);
        kinds
            .into_iter()
            .try_for_each(|(kind, registered)| registered.handler.check(provided).map_err(|missing| (*kind, missing)))
    }

    /// Returns a handler, and its job's queue, if that queue is not served. Handlers with
    /// `any_queue` are skipped.
    pub(crate) fn unserved(&self, is_served: impl Fn(&str) -> bool) -> Option<(&'static str, &'static str)> {
        let handlers = self.0.iter().filter(|(_, registered)| !registered.options.any_queue);
        let queues = handlers.map(|(kind, registered)| (*kind, registered.handler.queue()));
        queues.filter(|(_, queue)| !is_served(queue)).min()
    }
}
