//! Endpoints for orchestrators, load balancers and Prometheus, the same in both binaries.
//!
//! They are open to all clients at any rate. So an expensive answer is made once for all concurrent
//! clients.

mod answer_cache;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::map_request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde_json::json;
use tidegate_base::LogThrottle;
use tidegate_perfmon::{Health, mask};
use tidegate_server::bearer::bearer;
use tidegate_server::serve::{Ending, one_host, serve};
use tidegate_settings::Rights;
use tidegate_telemetry::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::serving::serve_settings;
use answer_cache::AnswerCache;

/// Timeout of a database. The client of a probe has a short timeout too, and a database that hangs
/// is as bad as one that is gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long `/readyz` reuses the last answer of the stores.
const READY_HOLDS: Duration = Duration::from_millis(500);
/// Maximum age of the text of `/metrics`.
const TEXT_HOLDS: Duration = Duration::from_secs(1);
/// Interval between log lines about a store that does not answer.
const COMPLAINT: Duration = Duration::from_secs(10);

/// During a failover all nodes lose the notifications of the database at the same time. Each still
/// answers correctly, from the tables.
const NO_NOTIFICATIONS: &str = "ready, degraded: no change notifications from the database; the cache is not used\n";

const GONE: &str = "the data directory was deleted, moved or replaced: restart this process\n";

pub(crate) const LIVEZ: &str = "/livez";
pub(crate) const READYZ: &str = "/readyz";
pub(crate) const STARTUPZ: &str = "/startupz";
pub(crate) const HEALTH: &str = "/health";
pub(crate) const METRICS: &str = "/metrics";
/// Paths of all probes.
pub(crate) const PATHS: [&str; 5] = [LIVEZ, READYZ, STARTUPZ, HEALTH, METRICS];

/// The probes of a node.
#[derive(Debug, Clone)]
pub struct Probes {
    node: Arc<Node>,
    is_draining: Arc<AtomicBool>,
    has_started: Arc<AtomicBool>,
    kept: Arc<Answers>,
}

/// Answers that concurrent clients share.
#[derive(Debug)]
struct Answers {
    ready: AnswerCache<Result<&'static str, NoAnswer>>,
    text: AnswerCache<Bytes>,
    database: Question,
    jobs: Question,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            ready: AnswerCache::new(READY_HOLDS),
            text: AnswerCache::new(TEXT_HOLDS),
            database: Question::new("the database does not answer\n"),
            jobs: Question::new("the job store does not answer\n"),
        }
    }
}

impl Probes {
    /// Makes the probes of that node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node, is_draining: Arc::default(), has_started: Arc::default(), kept: Arc::default() }
    }

    /// From here on the node reports that it is not ready, so that load balancers send no more
    /// requests.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Serves only the probes until `stop`, for a process without other routes.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let settings = serve_settings(&self.node.settings);
        let ending = Ending { announced: stop.child_token(), stop };
        let registry = self.node.telemetry.registry().clone();
        serve(listener, self.router(), settings, ending, move || registry.now()).await;
    }

    /// Returns the routes `/livez`, `/readyz`, `/startupz`, `/health` and `/metrics`.
    pub fn router(self) -> Router {
        Router::new()
            // Liveness depends on no other service: a restart of this process would not repair one.
            .route(LIVEZ, get(|| async { "alive\n" }))
            .route(READYZ, get(ready))
            .route(STARTUPZ, get(started))
            .route(HEALTH, get(health))
            .route(METRICS, get(metrics))
            .layer(map_request(named))
            .with_state(self)
    }
}

/// Refuses a request that does not name exactly one host, like all other routes.
async fn named(request: Request) -> Result<Request, (StatusCode, String)> {
    match one_host(&request) {
        Ok(()) => Ok(request),
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("{error}\n"))),
    }
}

/// A node that was ready once has started, whatever its later state: clients of this probe wait for
/// it before they use the others.
async fn started(State(probes): State<Probes>) -> Result<&'static str, NoAnswer> {
    if probes.has_started.load(Ordering::Relaxed) {
        return Ok("ready\n");
    }
    ready(State(probes)).await
}

async fn ready(State(probes): State<Probes>) -> Result<&'static str, NoAnswer> {
    let answer = is_ready(&probes).await?;
    probes.has_started.store(true, Ordering::Relaxed);
    Ok(answer)
}

async fn is_ready(probes: &Probes) -> Result<&'static str, NoAnswer> {
    if probes.is_draining.load(Ordering::Relaxed) {
        return Err(NoAnswer("shutting down\n"));
    }
    probes.kept.ready.get_or(|| ask_stores(probes)).await
}

async fn ask_stores(probes: &Probes) -> Result<&'static str, NoAnswer> {
    if !probes.node.coherence.is_watching() {
        return Err(NoAnswer("changes of other processes are no longer received: restart this process\n"));
    }
    if let Err(error) = probes.node.ensure_in_place() {
        if let Some(unlogged) = probes.kept.database.complaints.count() {
            tracing::warn!(%error, unlogged, "not ready: the data directory is gone");
        }
        return Err(NoAnswer(GONE));
    }
    // Both concurrently, so that they share one timeout.
    let (database, jobs) = tokio::join!(
        probes.kept.database.ask(probes.node.store.ping()),
        probes.kept.jobs.ask(probes.node.broker_answers()),
    );
    database?;
    let ready = if probes.node.coherence.is_current() { "ready\n" } else { NO_NOTIFICATIONS };
    match (probes.node.redis(), jobs) {
        (None, jobs) => jobs.map(|()| ready),
        (Some(redis), Ok(())) if redis.is_available() => Ok(ready),
        // All nodes lose it at the same time. If none of them received requests, everything that
        // works without it would be refused.
        (Some(_), _) => Ok(
            "ready, degraded: Redis can't be used (the log says why); limits and cache are local to this process, jobs wait\n",
        ),
    }
}

/// A 503 response with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NoAnswer(&'static str);

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, [(header::CACHE_CONTROL, "no-store")], self.0).into_response()
    }
}

/// A check whether a store answers.
#[derive(Debug)]
struct Question {
    /// Reason in the response if it does not answer.
    otherwise: &'static str,
    complaints: LogThrottle,
}

impl Question {
    const fn new(otherwise: &'static str) -> Self {
        Self { otherwise, complaints: LogThrottle::new(COMPLAINT) }
    }

    async fn ask<T, E: Display>(&self, question: impl Future<Output = Result<T, E>>) -> Result<T, NoAnswer> {
        let reason = match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        if let Some(unlogged) = self.complaints.count() {
            tracing::warn!(reason = %mask(&reason), unlogged, "{}", self.otherwise.trim_end());
        }
        Err(NoAnswer(self.otherwise))
    }
}

/// Responds with `application/health+json`: 200 for pass and warn, 503 for fail.
///
/// If metrics need a token, a client without one gets only the status.
async fn health(State(probes): State<Probes>, request: HeaderMap) -> Response {
    let report = probes.node.telemetry.health();
    let is_unhealthy = report.as_ref().is_some_and(|report| report.status == Health::Unhealthy);
    let code = if is_unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = match report {
        Some(report) if probes.may_read(&request).is_err() => json!({"status": report.status.check_status()}),
        Some(report) => json!(report),
        None => json!({"status": "warn", "output": "health was not evaluated in the last seconds"}),
    };
    (code, headers(), Json(body)).into_response()
}

fn headers() -> [(HeaderName, &'static str); 2] {
    [(header::CONTENT_TYPE, "application/health+json"), (header::CACHE_CONTROL, "no-store")]
}

async fn metrics(State(probes): State<Probes>, request: HeaderMap) -> Result<Response, Closed> {
    probes.may_read(&request)?;
    let make = || async { Bytes::from(probes.node.telemetry.exposition().await) };
    let text = probes.kept.text.get_or(make).await;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

impl Probes {
    /// Checks whether the client may read metrics.
    fn may_read(&self, headers: &HeaderMap) -> Result<(), Closed> {
        let settings = &self.node.settings;
        if !settings.performance.metrics_need_token {
            return Ok(());
        }
        let rights = bearer(headers).map(|sent| settings.tokens.rights(sent)).unwrap_or_default();
        match rights {
            Rights { admin: true, .. } | Rights { read: true, .. } => Ok(()),
            Rights { service: true, .. } => Err(Closed::Forbidden),
            _ => Err(Closed::Unauthorized),
        }
    }
}

/// The client may not read metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Unauthorized,
    Forbidden,
}

impl IntoResponse for Closed {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => {
                let told = "send the read token as `Authorization: Bearer …`\n";
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], told).into_response()
            }
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "the service token may only request decisions\n").into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use futures_util::future::join_all;
    use tempfile::TempDir;
    use tidegate_settings::test_ground::check_with;
    use tokio::time::Instant;
    use tower_service::Service;

    use super::*;

    const QUESTION: &str = "the database does not answer\n";

    #[tokio::test(start_paused = true)]
    async fn a_database_that_hangs_counts_as_gone() {
        let started = Instant::now();
        let hangs = std::future::pending::<Result<(), Infallible>>();
        let told = Question::new(QUESTION).ask(hangs).await.unwrap_err();
        assert_eq!(started.elapsed(), PATIENCE);
        assert_eq!(told.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_or_an_error_is_returned_at_once() {
        let (started, question) = (Instant::now(), Question::new(QUESTION));
        assert_eq!(question.ask(async { Ok::<_, Infallible>(7) }).await, Ok(7));
        assert_eq!(question.ask(async { Err::<(), _>("broken") }).await, Err(NoAnswer(QUESTION)));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    async fn node(directory: &TempDir) -> Arc<Node> {
        let settings = check_with(&[("TIDEGATE_DATA_DIR", directory.path().to_str().unwrap())]).unwrap();
        Arc::new(Node::start(settings).await.unwrap())
    }

    async fn get_at(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).header(header::HOST, "localhost").body(Body::empty()).unwrap();
        let answer = router.clone().call(request).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_need_one_host() {
        let directory = TempDir::new().unwrap();
        let node = node(&directory).await;
        let router = Probes::new(Arc::clone(&node)).router();
        for path in PATHS {
            for hosts in [&[][..], &["localhost", "localhost"]] {
                let request =
                    hosts.iter().fold(Request::get(path), |request, host| request.header(header::HOST, *host));
                let answer = router.clone().call(request.body(Body::empty()).unwrap()).await.unwrap();
                assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path} with {hosts:?}");
            }
        }
        node.stop().await;
    }

    #[tokio::test]
    async fn a_hundred_scrapes_at_once_make_one_text() {
        let directory = TempDir::new().unwrap();
        let node = node(&directory).await;
        let router = Probes::new(Arc::clone(&node)).router();
        node.stop().await;
        // Each text that is made without the job store contains the number of such texts.
        let texts = join_all((0..100).map(|_| get_at(&router, METRICS))).await;
        let made = "tidegate_scrape_errors_total{part=\"queues\"} 1\n";
        assert!(texts.iter().all(|(status, text)| *status == StatusCode::OK && text.contains(made)), "{:?}", texts[0]);
    }

    #[tokio::test]
    async fn a_node_that_sees_no_changes_of_others_is_not_ready() {
        let directory = TempDir::new().unwrap();
        let node = node(&directory).await;
        let router = Probes::new(Arc::clone(&node)).router();
        node.stop().await;
        assert!(!node.coherence.is_watching());
        let (status, text) = get_at(&router, READYZ).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("restart"), "{text}");
    }

    #[tokio::test]
    async fn a_store_that_goes_away_is_seen_when_the_last_answer_no_longer_holds() {
        let directory = TempDir::new().unwrap();
        let node = node(&directory).await;
        let router = Probes::new(Arc::clone(&node)).router();
        assert_eq!(get_at(&router, READYZ).await.0, StatusCode::OK);
        let asked = Instant::now();
        node.stop().await;
        let mut last_ready = asked;
        // As often as a fast load balancer.
        loop {
            let now = Instant::now();
            if get_at(&router, READYZ).await.0 != StatusCode::OK {
                break;
            }
            last_ready = now;
            assert!(asked.elapsed() < PATIENCE, "it is never seen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // An answer from before the stores ended is reused for that time and no longer.
        assert!(last_ready.duration_since(asked) < READY_HOLDS, "{:?}", last_ready.duration_since(asked));
    }
}
