//! The map of the API: which route lies in which circle of access.

mod analytics;
mod backups;
pub(crate) mod cache;
mod events;
mod exports;
mod files;
mod imports;
mod notifications;
pub(crate) mod performance;
mod preferences;
pub(crate) mod queues;
pub(crate) mod rate_limit;
mod schedules;
mod session;
mod tenants;
mod webhooks;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use tidegate_app::probes::Probes;
use tidegate_perfmon::PerfLayer;
use tidegate_ratelimit::RateLimitLayer;
use tokio_util::sync::CancellationToken;
use tower::util::MapResponseLayer;
use tower_http::compression::CompressionLayer;

use crate::app::App;
use crate::client;
use crate::problem::Problem;
use crate::{access, caller, limits, linger, pages, panics, request_id, timeout, wire};

/// All routes with all their layers.
///
/// What goes on as long as somebody listens ends at `stop`.
pub(crate) fn router(app: &App, probes: Probes, stop: CancellationToken) -> Router {
    let front = RateLimitLayer::with_policy(limits::Front(app.clone())).reject_with(limits::refuse);
    let compression = wire::Worthwhile { above: app.settings().http.compress_above };
    let timed = PerfLayer::new(app.node().telemetry.registry().clone(), route_of);

    let guarded = Router::new()
        .merge(pages::routes(app, stop.clone()))
        .merge(operations(app, stop.clone()))
        .merge(inspection(app))
        .merge(decisions(app))
        .merge(tenants(app))
        .merge(logins(app))
        .merge(application(app, stop))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app.clone())
        .layer(front)
        .layer(from_fn_with_state(app.clone(), client::layer));
    // Probes are answered whoever asks and however often: an orchestrator that is turned away kills the process.
    let probes = probes.router().method_not_allowed_fallback(wrong_method);
    let whole = guarded
        .merge(probes)
        .layer(from_fn(linger::layer))
        .layer(from_fn(panics::layer))
        .layer(timed)
        .layer(from_fn(request_id::layer));
    whole.layer((
        app.access_log().clone(),
        MapResponseLayer::new(move |response| wire::finish(response, compression)),
        CompressionLayer::new().compress_when(compression),
    ))
}

/// About the whole service: tokens, or a direct connection from this machine.
fn operations(app: &App, stop: CancellationToken) -> Router<App> {
    Router::new()
        .route("/api/cache", get(cache::show).post(cache::warm_up::start).delete(cache::purge::drop_selected))
        .route("/api/rate-limit", get(rate_limit::show).post(rate_limit::change).delete(rate_limit::reset))
        .route("/api/rate-limit/block", post(rate_limit::block).delete(rate_limit::unblock))
        .route("/api/rate-limit/tenants/{id}", get(rate_limit::usage))
        .route("/api/performance", get(performance::show))
        .route("/api/performance/silences", post(performance::silences::add).delete(performance::silences::lift))
        .route("/api/events", get(events::follow).layer(Extension(events::Stop(stop))))
        .route("/api/performance/actions", post(performance::actions::switch))
        .route("/api/performance/actions/{id}/revert", post(performance::actions::revert))
        .merge(queues::routes())
        .route("/api/backups", get(backups::list).post(backups::create))
        .route("/api/tenants", post(tenants::create))
        .route_layer(from_fn_with_state(app.clone(), access::operations))
        .layer(from_fn_with_state(app.clone(), timeout::layer))
}

/// What operators look into only with the admin token: names of keys tell of tenants.
fn inspection(app: &App) -> Router<App> {
    Router::new()
        .route("/api/cache/keys", get(cache::keys::list))
        .route_layer(from_fn_with_state(app.clone(), access::administration))
        .layer(from_fn_with_state(app.clone(), timeout::layer))
}

/// Decisions for services in any language: the service token.
fn decisions(app: &App) -> Router<App> {
    Router::new()
        .route(access::CHECK_PATH, post(rate_limit::check))
        .route_layer(from_fn_with_state(app.clone(), access::service))
        .layer(from_fn_with_state(app.clone(), timeout::layer))
}

/// For operators and for the tenant itself; each asks who it is.
fn tenants(app: &App) -> Router<App> {
    tenants::routes(app).layer(from_fn_with_state(app.clone(), timeout::layer))
}

/// In by a password and out, for whoever is no caller yet, or no longer.
fn logins(app: &App) -> Router<App> {
    Router::new()
        .route("/api/session", post(session::begin).delete(session::end))
        .layer(from_fn_with_state(app.clone(), timeout::layer))
}

/// A tenant's own: its key or a user's session, its quota.
fn application(app: &App, stop: CancellationToken) -> Router<App> {
    // An upload may take long as long as it goes on; the spool watches over that.
    let uploads = Router::new().route("/api/schedules/import", post(imports::create));
    Router::new()
        .route("/api/schedules", get(schedules::list).post(schedules::create))
        .route("/api/schedules/{id}", get(schedules::show).put(schedules::replace).delete(schedules::delete))
        .route("/api/analytics", get(analytics::show))
        .route("/api/session", get(session::show))
        .route("/api/preferences/{user}", get(preferences::show).put(preferences::replace))
        .route("/api/schedules/export", post(exports::create))
        .route("/api/schedules/export/{id}", get(exports::show))
        .route("/api/files/{id}", get(files::show))
        .route("/api/schedules/import/{id}", get(imports::show))
        .route("/api/schedules/import/{id}/rejects", get(imports::rejects))
        .route("/api/notifications", get(notifications::list))
        .route("/api/notifications/events", get(notifications::follow).layer(Extension(events::Stop(stop))))
        .route("/api/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/api/webhooks/{id}", delete(webhooks::delete))
        .layer(from_fn_with_state(app.clone(), timeout::layer))
        .merge(uploads)
        .route_layer(from_fn_with_state(app.clone(), caller::layer))
}

/// The route's template, so that one series stands for all ids. None with a method that no route has: the method is the client's to
/// choose, and each would have a series on each route.
fn route_of(request: &Request) -> Option<&str> {
    const SERVED: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    route.filter(|_| SERVED.contains(request.method()))
}

async fn unknown(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}", request.uri().path()))
}

pub(crate) async fn wrong_method(request: Request) -> Problem {
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        format!("{} does not answer {}", request.uri().path(), request.method()),
    )
}
