//! The request of a statement, read from its span.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use tidegate_perfmon::{RequestQueries, TraceContext, UNMATCHED};
use tracing::Span;
use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

/// Maximum number of ended requests whose memory a thread keeps for reuse.
const SPARE: usize = 64;

thread_local! {
    static ENDED: RefCell<Vec<Arc<Request>>> = const { RefCell::new(Vec::new()) };
}

/// Sets the trace of the span's request, so that its slow statements are reported with it. Only the
/// first call has an effect. Does nothing if no listener is installed.
pub fn set_request_trace(span: &Span, trace: TraceContext) {
    span.with_subscriber(|(id, subscriber)| {
        let span = subscriber.downcast_ref::<Registry>().and_then(|registry| registry.span(id));
        if let Some(request) = span.and_then(|span| span.extensions().get::<Arc<Request>>().cloned()) {
            // `set` fails in a second call: the first trace stays.
            let _ = request.trace.set(trace);
        }
    });
}

#[derive(Default)]
pub(super) struct Request {
    /// Empty if the span has no id. The same applies to the route.
    id: String,
    route: String,
    trace: OnceLock<TraceContext>,
    queries: RequestQueries,
}

impl Request {
    /// Makes the request of a new span. Most requests run no statement, so the memory of an ended
    /// one is reused.
    pub(super) fn begin(attributes: &Attributes<'_>) -> Arc<Self> {
        let spare = ENDED.try_with(|ended| ended.borrow_mut().pop()).ok().flatten();
        let mut request = spare.unwrap_or_default();
        // The spare one has no other owner.
        if let Some(request) = Arc::get_mut(&mut request) {
            attributes.record(request);
        }
        request
    }

    /// Keeps the memory of an ended request, unless it has another owner.
    pub(super) fn end(mut self: Arc<Self>) {
        let Some(request) = Arc::get_mut(&mut self) else { return };
        request.id.clear();
        request.route.clear();
        request.trace = OnceLock::new();
        request.queries = RequestQueries::new();
        // A thread that ends keeps nothing.
        let _ = ENDED.try_with(|ended| {
            let mut ended = ended.borrow_mut();
            if ended.len() < SPARE {
                ended.push(self);
            }
        });
    }

    pub(super) fn id(&self) -> Option<&str> {
        Some(&*self.id).filter(|id| !id.is_empty())
    }

    pub(super) fn route(&self) -> &str {
        if self.route.is_empty() { UNMATCHED } else { &self.route }
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
            "id" => value.clone_into(&mut self.id),
            "route" => value.clone_into(&mut self.route),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Begins and ends a request with each span.
    struct Begins;

    impl<S: tracing::Subscriber> Layer<S> for Begins {
        fn on_new_span(&self, attributes: &Attributes<'_>, _: &tracing::span::Id, _: Context<'_, S>) {
            let request = Request::begin(attributes);
            assert!(request.trace().is_none() && request.queries().totals().0 == 0, "of another request");
            let told = (request.id().map(str::to_owned), request.route().to_owned());
            TOLD.with(|all| all.borrow_mut().push((told, Arc::as_ptr(&request) as usize)));
            let _ = request.trace.set(TraceContext::new(1, 2, true).unwrap());
            request.end();
        }
    }

    type Told = ((Option<String>, String), usize);

    thread_local! {
        static TOLD: RefCell<Vec<Told>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn an_ended_request_is_used_again_and_leaves_nothing_behind() {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Begins), || {
            drop(tracing::info_span!("request", id = "one", route = "/a"));
            drop(tracing::info_span!("request"));
            drop(tracing::info_span!("request", id = "two"));
        });
        let (told, places): (Vec<_>, Vec<_>) = TOLD.take().into_iter().unzip();
        let named = |id: Option<&str>, route: &str| (id.map(str::to_owned), route.to_owned());
        assert_eq!(told, [named(Some("one"), "/a"), named(None, UNMATCHED), named(Some("two"), UNMATCHED)]);
        assert!(places.windows(2).all(|pair| pair[0] == pair[1]), "the same memory: {places:?}");
    }
}
