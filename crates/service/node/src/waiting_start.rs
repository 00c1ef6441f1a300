//! A start that waits for Redis or the database server, and answers probes meanwhile.

use std::io;
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tidegate_base::LogThrottle;
use tidegate_server::serve::{Ending, ServeSettings, serve};
use tidegate_settings::Settings;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::node::{Node, StartError, WaitsFor};
use crate::probes::{HEALTH, LIVEZ, METRICS, READYZ, STARTUPZ};
use crate::secret_watch::SecretWatch;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// If the start takes no longer than this, no request is answered in the meantime: the started node
/// serves the waiting connections. So a proxy that can't query whether a node is ready, such as
/// nginx, loses no request in a restart.
const GRACE: Duration = Duration::from_secs(5);
/// Interval between log lines about the server that is waited for.
const COMPLAINT: Duration = Duration::from_secs(10);

/// The answer of a process until it has started.
#[derive(Debug, Clone, Default)]
struct Reason(Arc<Mutex<Option<WaitsFor>>>);

impl Reason {
    fn text(&self) -> &'static str {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => "starting\n",
            Some(WaitsFor::Redis) => "starting: waiting for Redis (the log says why)\n",
            Some(WaitsFor::Database) => "starting: waiting for the database (the log says why)\n",
        }
    }

    fn set(&self, waits_for: WaitsFor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(waits_for);
    }

    fn answer(&self) -> Response {
        let headers = [(header::CACHE_CONTROL, "no-store"), (header::RETRY_AFTER, "1")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, self.text()).into_response()
    }

    /// Returns the reason as a health response.
    fn health(&self) -> Response {
        let verdict = json!({"status": "fail", "output": self.text().trim_end()});
        let kind = [(header::CONTENT_TYPE, "application/health+json")];
        (StatusCode::SERVICE_UNAVAILABLE, kind, Json(verdict)).into_response()
    }
}

/// The server of a process while it starts.
#[derive(Debug)]
pub struct Front<'a> {
    listener: &'a TcpListener,
    serve: ServeSettings,
    other: Router,
}

impl<'a> Front<'a> {
    /// Makes it with the listener, which the process serves after its start, and the server's
    /// settings.
    pub fn new(listener: &'a TcpListener, serve: ServeSettings) -> Self {
        Self { listener, serve, other: Router::new() }
    }

    /// Sets the answers for other paths than probes. Without it they get 404.
    #[must_use]
    pub fn other(self, other: Router) -> Self {
        Self { other, ..self }
    }
}

/// Starts a node. While Redis or the database server is unreachable, waits for it and answers
/// probes: `/livez` with 200, the others with 503 and the reason. Answers begin when the first
/// attempt has failed or has taken 5 seconds. Earlier connections are kept for the node.
///
/// Returns `None` if `shutdown` is cancelled first.
///
/// # Errors
///
/// [`StartError`] for a cause that waiting does not fix, such as a refused password.
pub async fn start(
    settings: Settings,
    front: Option<Front<'_>>,
    shutdown: &CancellationToken,
) -> Result<Option<Node>, StartError> {
    if settings.redis.is_none() && settings.database.is_none() {
        return Box::pin(Node::start_telling(settings, |_| {})).await.map(Some);
    }
    let reason = Reason::default();
    let ending = Ending::default();
    let must_wait = CancellationToken::new();
    let answering = front.map(|front| answer(front, &reason, &must_wait, &ending)).transpose()?;
    let started = shutdown.run_until_cancelled(Box::pin(wait(settings, &reason, &must_wait))).await.transpose();
    ending.stop.cancel();
    let ended = async {
        if let Some(answering) = answering
            && let Err(error) = answering.await
        {
            tracing::error!(%error, "the probes of the start failed");
        }
    };
    if started.as_ref().is_ok_and(Option::is_some) {
        // A slow client of the start must not prevent the node from serving.
        tokio::spawn(ended);
        return started;
    }
    ended.await;
    if started.is_ok() {
        tracing::info!("stopped before the start was complete");
    }
    started
}

/// Serves the same socket with a second listener, so that no connection is refused when the node
/// takes over.
fn answer(
    front: Front<'_>,
    reason: &Reason,
    must_wait: &CancellationToken,
    ending: &Ending,
) -> io::Result<tokio::task::JoinHandle<()>> {
    use std::os::fd::AsFd;
    let own = std::net::TcpListener::from(front.listener.as_fd().try_clone_to_owned()?);
    let own = TcpListener::from_std(own)?;
    let say = |reason: &Reason| {
        let reason = reason.clone();
        get(move || async move { reason.answer() })
    };
    let health = |reason: &Reason| {
        let reason = reason.clone();
        get(move || async move { reason.health() })
    };
    let probes = Router::new()
        .route(LIVEZ, get(|| async { "alive\n" }))
        .route(READYZ, say(reason))
        .route(STARTUPZ, say(reason))
        .route(HEALTH, health(reason))
        .route(METRICS, say(reason));
    let since = Instant::now();
    let now = move || since.elapsed();
    let (must_wait, ending) = (must_wait.clone(), ending.clone());
    Ok(tokio::spawn(async move {
        let begins = ending.stop.run_until_cancelled(timeout(GRACE, must_wait.cancelled())).await.is_some();
        if begins {
            serve(own, probes.merge(front.other), front.serve, ending, now).await;
        }
    }))
}

async fn wait(settings: Settings, reason: &Reason, must_wait: &CancellationToken) -> Result<Node, StartError> {
    let complaints = LogThrottle::new(COMPLAINT);
    let mut secrets = SecretWatch::new(&settings, None);
    loop {
        let error = match Node::start_telling(settings.clone(), |server| reason.set(server)).await {
            Err(error) if error.is_transient() => error,
            started => return started,
        };
        must_wait.cancel();
        if let Some(unlogged) = complaints.count() {
            tracing::warn!(%error, unlogged, "waiting to start");
        }
        tokio::time::sleep(PAUSE).await;
        secrets.read_all().await;
    }
}
