//! Handlers by kind. The job types are erased.

use std::collections::HashMap;
use std::sync::Arc;

use crate::handler::{
    BoxError, Context, ErasedHandler, Failure, HandlerOptions, HandlerService, MissingData, Outcome, PayloadTooNew,
    Provided, Running, in_chain,
};

/// Result of running a handler.
pub(crate) enum Verdict {
    Ended(Outcome),
    /// The payload is of a newer version; another worker may know it.
    NotForUs(String),
}

impl Verdict {
    pub(crate) fn of(result: Result<Outcome, BoxError>) -> Self {
        match result {
            Ok(outcome) => Self::Ended(outcome),
            // Layers may have wrapped it.
            Err(error) => match in_chain::<PayloadTooNew>(&*error) {
                Some(too_new) => Self::NotForUs(too_new.to_string()),
                None => Self::Ended(Failure::from(error).into()),
            },
        }
    }
}

/// A handler with its layers and options.
pub(crate) struct Registered {
    handler: Arc<dyn ErasedHandler>,
    layers: Option<HandlerService>,
    pub(crate) options: HandlerOptions,
}

impl Registered {
    /// Runs a job through the layers, if there are any.
    pub(crate) fn run(&self, context: Context) -> Running {
        match &self.layers {
            None => self.run_bare(context),
            Some(layers) => layers.run(context),
        }
    }

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
        let registered = Registered { handler, layers: None, options };
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

    /// Sets the layers of all handlers. All kinds share one stack, so a layer counts or limits over
    /// all kinds.
    pub(crate) fn wrap(&mut self, layers: Option<&HandlerService>) {
        for registered in self.0.values_mut() {
            registered.layers = layers.cloned();
        }
    }
}
