//! Traces and metrics for an OpenTelemetry collector, over HTTP.
//!
//! The spans of requests and jobs are those of `tracing`, converted by `tracing-opentelemetry`.
//! Those of statements are created directly ([`statements`]), since sqlx reports a statement only
//! after its end. All spans pass one filter ([`gate`]) and a bounded queue ([`spans`]): a collector
//! that is slow or unreachable costs spans, but never delays a request. Metrics are the families of
//! `/metrics` ([`metrics`]).

mod collector;
mod exemplars;
mod families;
mod figures;
mod gate;
mod metrics;
mod resource;
mod share;
mod spans;
mod statements;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanLimits};
use tidegate_perfmon::TraceContext;
use tidegate_settings::Settings;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;

use crate::{BoxedLayer, Telemetry, collector_operation, trace};
use collector::Collector;
use figures::Figures;
use share::{Key, Share};
use spans::{Outlet, Processor};
pub(crate) use statements::StatementSpans;

/// Maximum time for the last messages at the end of the process.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Maximum number of attributes of one span. The spans of Tidegate have less than half as many.
const MOST_ATTRIBUTES: u32 = 32;

/// Queue of the spans of this process. All nodes in it share it, as they share the log.
static OUTLET: OnceLock<Arc<Outlet>> = OnceLock::new();

/// Returns the span layer, and the recorder of statement spans. `None` if no collector is
/// configured.
pub(crate) fn listeners(settings: &Settings) -> Option<(BoxedLayer, StatementSpans)> {
    let otlp = settings.performance.otlp.as_ref()?;
    let outlet = OUTLET.get_or_init(Arc::default);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource::of(otlp))
        .with_sampler(Share::new(otlp.sample, Key::of(otlp, &settings.tokens)))
        .with_span_limits(SpanLimits { max_attributes_per_span: MOST_ATTRIBUTES, ..SpanLimits::default() })
        .with_span_processor(Processor(Arc::clone(outlet)))
        .build();
    // With a separate filter: no log line becomes an event of a span.
    let spans = Targets::new()
        .with_target(trace::REQUEST_TARGET, LevelFilter::DEBUG)
        .with_target(trace::JOB_TARGET, LevelFilter::INFO);
    let tracer = provider.tracer("tidegate");
    let turned = tracing_opentelemetry::layer()
        .with_tracer(tracer.clone())
        .with_context_activation(false)
        .with_tracked_inactivity(false)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_filter(spans);
    Some((turned.boxed(), StatementSpans::new(tracer)))
}

/// Makes the subscriber available to statement spans. Called after the layers are installed.
pub(crate) fn listen() {
    statements::listen();
}

/// Sets the parent of a span that was not entered yet, or makes it the root of a trace. Returns its
/// context. `None` if spans are not exported.
pub(crate) fn adopt(span: &Span, parent: Option<TraceContext>) -> Option<TraceContext> {
    OUTLET.get()?;
    if let Some(parent) = parent {
        let flags = if parent.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let (trace, id) = (TraceId::from(parent.trace_id()), SpanId::from(parent.span_id()));
        let remote = SpanContext::new(trace, id, flags, true, TraceState::NONE);
        // Fails only if the span is not exported. It then has no context below either.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
    let context = span.context();
    let span = context.span();
    let own = span.span_context();
    TraceContext::new(
        u128::from_be_bytes(own.trace_id().to_bytes()),
        u64::from_be_bytes(own.span_id().to_bytes()),
        own.is_sampled(),
    )
}

/// Names the span of a request after its route, so that all requests of one route have the same
/// name.
pub(crate) fn name_request(span: &Span, method: &Method, route: &str) {
    // A client may have sent an arbitrary method.
    let method = if is_common(method) { method.as_str() } else { "HTTP" };
    span.context().span().update_name(format!("{method} {route}"));
}

fn is_common(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        .contains(method)
}

/// Names the span of a job's run after its queue.
pub(crate) fn name_job(span: &Span, queue: &str) {
    let context = span.context();
    let span = context.span();
    span.update_name(format!("process {queue}"));
    span.set_attributes([
        KeyValue::new("messaging.system", "tidegate"),
        KeyValue::new("messaging.operation.type", "process"),
    ]);
}

/// Records the response of a request.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    if OUTLET.get().is_none() {
        return;
    }
    let context = span.context();
    let span = context.span();
    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if status.is_server_error() {
        span.set_status(Status::error(""));
    }
}

/// The export of a node, until it ends.
#[derive(Debug)]
pub struct Export {
    stop: CancellationToken,
    tasks: TaskTracker,
    outlet: Arc<Outlet>,
}

impl Export {
    /// Starts the export. `None` if no collector is configured.
    ///
    /// # Errors
    ///
    /// Fails if no client for the collector can be created.
    pub fn start(telemetry: &Arc<Telemetry>, settings: &Settings) -> io::Result<Option<Self>> {
        let Some(otlp) = &settings.performance.otlp else { return Ok(None) };
        let collector =
            Arc::new(Collector::new(otlp, collector_operation(telemetry.registry())).map_err(io::Error::other)?);
        let outlet = Arc::clone(OUTLET.get_or_init(Arc::default));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        if let Some(queue) = outlet.take_queue() {
            tokio::spawn(spans::send(queue, Arc::clone(&collector), Arc::clone(&outlet), resource::of(otlp)));
        }
        tasks.spawn(metrics::send(Arc::clone(telemetry), collector, Arc::clone(&outlet), otlp.clone(), stop.clone()));
        tasks.close();
        let counted = Arc::clone(&outlet);
        telemetry.sources().figures(move || Box::new(Figures(Arc::clone(&counted))));
        Ok(Some(Self { stop, tasks, outlet }))
    }

    /// Sends the remaining spans and metrics within a short timeout. Called after everything else
    /// of the node has stopped.
    pub async fn end(&self) {
        self.stop.cancel();
        let sent = async {
            let (tell, told) = oneshot::channel();
            let flushed = async {
                if self.outlet.flush(tell).await {
                    // If its runtime has ended, the sender is gone, together with its spans.
                    let _ = told.await;
                }
            };
            tokio::join!(self.tasks.wait(), flushed);
        };
        if tokio::time::timeout(LAST_WORDS, sent).await.is_err() {
            tracing::warn!("the collector did not accept the last traces and metrics in time");
        }
    }
}
