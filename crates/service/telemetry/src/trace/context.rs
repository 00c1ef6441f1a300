//! New trace contexts.

use tidegate_perfmon::TraceContext;

/// Returns a context below that trace for a request of the node, whose span is not recorded.
/// Without a trace, the root of a new one.
pub fn below(trace: Option<u128>) -> TraceContext {
    let place = trace.and_then(|trace| TraceContext::new(trace, rand::random(), false));
    place.unwrap_or_else(unrecorded)
}

/// Returns the root of a new trace that is not recorded.
pub(super) fn unrecorded() -> TraceContext {
    loop {
        if let Some(context) = TraceContext::new(rand::random(), rand::random(), false) {
            return context;
        }
    }
}
