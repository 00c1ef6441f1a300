//! Creates a span for each statement. sqlx reports a statement with one event, after its end.

use std::sync::OnceLock;

use opentelemetry::trace::{Span, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{KeyValue, time};
use opentelemetry_sdk::trace::SdkTracer;
use tidegate_perfmon::{Dialect, fingerprint};
use tracing::dispatcher;
use tracing::span::Id;
use tracing_opentelemetry::get_otel_context;

use crate::Statement;

/// The subscriber of the process. A layer inside a list of layers is not given it.
static LISTENING: OnceLock<dispatcher::WeakDispatch> = OnceLock::new();

/// Stores the subscriber after it has become the global one.
pub(super) fn listen() {
    dispatcher::get_default(|dispatch| {
        // A second call has the same subscriber.
        let _ = LISTENING.set(dispatch.downgrade());
    });
}

/// Creates spans below the request or job of each statement. A statement without one has no span.
pub(crate) struct StatementSpans(SdkTracer);

impl StatementSpans {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self(tracer)
    }

    /// Creates the span of a statement that has ended, within the span of a request or a job.
    pub(crate) fn tell(&self, told: &Statement, within: &Id) {
        let Some(dispatch) = LISTENING.get().and_then(dispatcher::WeakDispatch::upgrade) else { return };
        // Takes the lock of the span's extensions, so none may be held here.
        let Some(parent) = get_otel_context(within, &dispatch) else { return };
        if !parent.span().span_context().is_sampled() {
            return;
        }
        // The clock of the other spans; the project's own clock has only milliseconds.
        let ended = time::now();
        let started = ended.checked_sub(told.elapsed()).unwrap_or(ended);
        let mut text = String::new();
        let dialect = told.dialect();
        fingerprint(told.sql(), dialect, &mut text);
        let operation = text.split_whitespace().next().unwrap_or("statement").to_uppercase();
        let builder = self
            .0
            .span_builder(operation.clone())
            .with_kind(SpanKind::Client)
            .with_start_time(started)
            .with_attributes([
                KeyValue::new("db.system.name", if dialect == Dialect::Postgres { "postgresql" } else { "sqlite" }),
                KeyValue::new("db.operation.name", operation),
                KeyValue::new("db.query.text", text),
                KeyValue::new("db.response.returned_rows", i64::try_from(told.returned()).unwrap_or(i64::MAX)),
            ]);
        self.0.build_with_context(builder, &parent).end_with_timestamp(ended);
    }
}
