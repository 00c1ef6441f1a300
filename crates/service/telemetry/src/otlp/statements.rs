//! A span for each statement, made by hand: sqlx tells of a statement with one event, when it has ended.

use std::sync::OnceLock;

use opentelemetry::trace::{Span, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{KeyValue, time};
use opentelemetry_sdk::trace::SdkTracer;
use tidegate_perfmon::{Dialect, fingerprint};
use tracing::dispatcher;
use tracing::span::Id;
use tracing_opentelemetry::get_otel_context;

use crate::Statement;

/// The subscriber of the process. A layer among others in a list isn't told of it.
static LISTENING: OnceLock<dispatcher::WeakDispatch> = OnceLock::new();

/// Notes the subscriber, once it is the process's.
pub(super) fn listen() {
    dispatcher::get_default(|dispatch| {
        // A second call finds the first's, which is the same.
        let _ = LISTENING.set(dispatch.downgrade());
    });
}

/// Makes the spans, each below the request or the job that the statement was made for. A statement of nobody's has none.
pub(crate) struct StatementSpans(SdkTracer);

impl StatementSpans {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self(tracer)
    }

    /// Makes that of a statement that has ended, within the span of a request or a job.
    pub(crate) fn tell(&self, told: &Statement, within: &Id) {
        let Some(dispatch) = LISTENING.get().and_then(dispatcher::WeakDispatch::upgrade) else { return };
        // Takes the lock of the span's extensions: none may be held here.
        let Some(parent) = get_otel_context(within, &dispatch) else { return };
        if !parent.span().span_context().is_sampled() {
            return;
        }
        // The clock that the other spans go by; ours is cut to milliseconds.
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
