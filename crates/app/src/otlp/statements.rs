//! A span for each statement, made by hand: sqlx tells of a statement with one event, when it has ended.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{Span, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{KeyValue, time};
use opentelemetry_sdk::trace::SdkTracer;
use tidegate_perfmon::{Dialect, fingerprint};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, dispatcher};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Target of sqlx's events.
pub(super) const TARGET: &str = "sqlx::query";

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
pub(super) struct Statements(SdkTracer);

impl Statements {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self(tracer)
    }
}

impl<S> Layer<S> for Statements
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(within) = context.event_span(event) else { return };
        let Some(dispatch) = LISTENING.get().and_then(dispatcher::WeakDispatch::upgrade) else { return };
        // Takes the lock of the span's extensions: none may be held here.
        let Some(parent) = get_otel_context(&within.id(), &dispatch) else { return };
        if !parent.span().span_context().is_sampled() {
            return;
        }
        let mut told = Told::default();
        event.record(&mut told);
        // The clock that the other spans go by; ours is cut to milliseconds.
        let ended = time::now();
        let started = ended.checked_sub(told.elapsed).unwrap_or(ended);
        let mut text = String::new();
        // sqlx has the whole of a short statement in its summary.
        let statement = if told.statement.trim().is_empty() { &told.summary } else { &told.statement };
        fingerprint(statement, Dialect::Sqlite, &mut text);
        let operation = text.split_whitespace().next().unwrap_or("statement").to_uppercase();
        let builder = self
            .0
            .span_builder(operation.clone())
            .with_kind(SpanKind::Client)
            .with_start_time(started)
            .with_attributes([
                KeyValue::new("db.system.name", "sqlite"),
                KeyValue::new("db.operation.name", operation),
                KeyValue::new("db.query.text", text),
                KeyValue::new("db.response.returned_rows", told.rows),
            ]);
        self.0.build_with_context(builder, &parent).end_with_timestamp(ended);
    }
}

/// What an event says of its statement.
#[derive(Default)]
struct Told {
    summary: String,
    statement: String,
    rows: i64,
    elapsed: Duration,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary = value.to_owned(),
            "db.statement" => self.statement = value.to_owned(),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = i64::try_from(value).unwrap_or(i64::MAX);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "summary" | "db.statement") {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}
