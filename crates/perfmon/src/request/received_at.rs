//! When a request came in.

use std::time::Duration;

/// The time at which a server read the first bytes of a request, on the clock of the registry
/// ([`Registry::now`](crate::Registry::now)).
///
/// A server puts it into the request's extensions. [`PerfLayer`](crate::PerfLayer) then measures
/// from this time instead of from its own call, and records separately how long the request waited
/// until then. A time in the future counts as now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedAt(pub Duration);
