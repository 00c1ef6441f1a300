//! What an orchestrator, a balancer and Prometheus ask: the same of both binaries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tidegate_perfmon::Health;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::telemetry::CONTENT_TYPE;

/// A node as the probes see it.
#[derive(Debug, Clone)]
pub struct Probes {
    node: Arc<Node>,
    is_draining: Arc<AtomicBool>,
}

impl Probes {
    /// Probes of that node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node, is_draining: Arc::new(AtomicBool::new(false)) }
    }

    /// From here on the node says that it is not ready, so that balancers send nothing more.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Answers the probes alone, for a process that has no other routes.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let serving = axum::serve(listener, self.router()).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "probes are no longer answered");
        }
    }

    /// `/livez`, `/readyz`, `/startupz`, `/health` and `/metrics`.
    pub fn router(self) -> Router {
        Router::new()
            // Liveness asks nothing of anybody: a restart of this process mends no other.
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .route("/startupz", get(ready))
            .route("/health", get(health))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

async fn ready(State(probes): State<Probes>) -> Response {
    if probes.is_draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n").into_response();
    }
    if let Err(error) = probes.node.store.ping().await {
        tracing::warn!(%error, "not ready");
        return (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response();
    }
    if let Err(error) = probes.node.broker_answers().await {
        tracing::warn!(%error, "not ready");
        return (StatusCode::SERVICE_UNAVAILABLE, "the job store does not answer\n").into_response();
    }
    "ready\n".into_response()
}

/// `application/health+json`: pass and warn are 200, fail is 503.
async fn health(State(probes): State<Probes>) -> Response {
    let Some(report) = probes.node.telemetry.health() else {
        return (StatusCode::OK, headers(), Json(json!({"status": "warn", "output": "starting"}))).into_response();
    };
    let code = if report.status == Health::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, headers(), Json(report)).into_response()
}

fn headers() -> [(HeaderName, &'static str); 2] {
    [(header::CONTENT_TYPE, "application/health+json"), (header::CACHE_CONTROL, "no-store")]
}

async fn metrics(State(probes): State<Probes>) -> Response {
    match probes.node.telemetry.exposition().await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::warn!(%error, "the metrics can't be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the job store does not answer\n").into_response()
        }
    }
}
