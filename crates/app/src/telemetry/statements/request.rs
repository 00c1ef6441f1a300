//! The request that statements run for, as its span tells it.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use tidegate_perfmon::{RequestQueries, TraceContext, UNMATCHED};
use tracing::Span;
use tracing::field::{Field, Visit};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

/// Says which trace the request of that span is part of, so that its slow statements are told with it. The first word
/// counts; where nobody listens it does nothing.
pub fn set_request_trace(span: &Span, trace: TraceContext) {
    span.with_subscriber(|(id, subscriber)| {
        let span = subscriber.downcast_ref::<Registry>().and_then(|registry| registry.span(id));
        if let Some(request) = span.and_then(|span| span.extensions().get::<Arc<Request>>().cloned()) {
            // A second word is not heard.
            let _ = request.trace.set(trace);
        }
    });
}

#[derive(Default)]
pub(super) struct Request {
    id: Option<String>,
    route: Option<String>,
    trace: OnceLock<TraceContext>,
    queries: RequestQueries,
}

impl Request {
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn route(&self) -> &str {
        self.route.as_deref().unwrap_or(UNMATCHED)
    }

    pub(super) fn trace(&self) -> Option<TraceContext> {
        self.trace.get().copied()
    }

    pub(super) fn queries(&self) -> &RequestQueries {
        &self.queries
    }
}

impl Visit for Request {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "id" => self.id = Some(value.to_owned()),
            "route" => self.route = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
