//! The limiters' decisions for a request.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::{Decision, Limiter};

/// The decisions for one request, each with its limiter's name, in the order in which they were
/// made. As an extension of the request, it contains those of all layers that the request has
/// passed.
#[derive(Clone, Default)]
pub struct Decisions(SmallVec<[(Arc<dyn Limiter>, Decision); 2]>);

impl Decisions {
    pub(super) fn push(&mut self, limiter: Arc<dyn Limiter>, decision: Decision) {
        self.0.push((limiter, decision));
    }

    pub(super) fn append(&mut self, later: &Self) {
        self.0.extend(later.0.iter().cloned());
    }

    /// Each limiter's name and decision.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Decision)> {
        self.0.iter().map(|(limiter, decision)| (limiter.name(), decision))
    }

    /// The decision of the limiter with that name. `None` if there is none.
    pub fn get(&self, limiter: &str) -> Option<&Decision> {
        self.iter().find(|(name, _)| *name == limiter).map(|(_, decision)| decision)
    }

    /// A refusal if there is one, otherwise the admission with the least remaining.
    pub fn binding(&self) -> Option<(&str, &Decision)> {
        self.iter().min_by_key(|(_, decision)| (decision.is_allowed(), decision.remaining()))
    }

    /// Number of decisions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no decisions.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
