//! A collector that keeps what it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;

/// Listens on a port of its own until the test ends.
pub(super) struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

/// One message.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A span, and who sent it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) service: String,
    pub(super) span: Span,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::default();
        let router = Router::new()
            .route("/v1/traces", post(keep))
            .route("/v1/metrics", post(keep))
            .with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, received }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All messages so far.
    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no test panicked in it").clone()
    }

    /// All spans so far.
    pub(super) fn spans(&self) -> Vec<Sent> {
        let mut spans = Vec::new();
        for message in self.received().iter().filter(|message| message.path == "/v1/traces") {
            let request = ExportTraceServiceRequest::decode(message.body.clone()).expect("a message of traces");
            for resource in request.resource_spans {
                let attributes = resource.resource.expect("a resource").attributes;
                let service = text(&attributes, "service.name").expect("a name");
                let sent = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(sent.map(|span| Sent { service: service.clone(), span }));
            }
        }
        spans
    }

    /// All messages of metrics so far.
    pub(super) fn metrics(&self) -> Vec<ExportMetricsServiceRequest> {
        let received = self.received();
        let metrics = received.into_iter().filter(|message| message.path == "/v1/metrics");
        metrics
            .map(|message| ExportMetricsServiceRequest::decode(message.body).expect("a message of metrics"))
            .collect()
    }
}

impl Sent {
    pub(super) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(super) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(super) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }
}

/// The value of an attribute, as text.
pub(super) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let Some(AnyValue { value: Some(value) }) = &found.value else { return None };
    match value {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn keep(State(received): State<Arc<Mutex<Vec<Received>>>>, uri: Uri, headers: HeaderMap, body: Bytes) {
    let message = Received { path: uri.path().to_owned(), headers, body };
    received.lock().expect("no test panicked in it").push(message);
}
