//! The whole of it: what the API offers, the pages, the probes, and the layers around them.

mod analytics;
mod backups;
pub(crate) mod cache;
mod events;
mod exports;
mod file_runs;
mod files;
mod imports;
mod log;
mod notifications;
pub(crate) mod performance;
mod preferences;
mod probes;
pub(crate) mod queues;
pub(crate) mod rate_limit;
mod reports;
mod schedules;
mod session;
mod tenants;
mod webhooks;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::routing::Route;
use tidegate_node::probes::Probes;
use tidegate_perfmon::PerfLayer;
use tidegate_ratelimit::RateLimitLayer;
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;
use tower::util::MapRequestLayer;
use tower_layer::Layer;

use crate::app::App;
use crate::around::{Behind, around};
use crate::client;
use crate::fallback::{unknown, wrong_method};
use crate::openapi::Routes;
use crate::problem::Problem;
use crate::{job_store, limits, linger, pages, panics, request_id, shed, wire};

/// All routes with all their layers.
///
/// What goes on as long as somebody listens ends at `stop`.
pub(crate) fn router(app: &App, probes: Probes, stop: CancellationToken) -> Router {
    let front = RateLimitLayer::with_policy(limits::Front(*app)).reject_with(limits::refuse);
    let guarded = Router::new()
        .merge(pages::routes(app, stop.clone()))
        .merge(offered(app, stop))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(*app);
    // What the front limiter refuses needs no place among those under way, so that shedding comes behind it.
    let guarded = outermost(
        app,
        guarded,
        (around(*app, client::layer), front, around(*app, shed::layer), around(*app, job_store::layer)),
    );
    // Probes are answered whoever asks and however often: an orchestrator that is turned away kills the process.
    let probes = probes.router().method_not_allowed_fallback(wrong_method);
    guarded.merge(outermost(app, probes, Identity::new()))
}

/// Lays around routes what is around every one, with those layers within.
///
/// In one go, since with each call of `layer` there is one more box around every route, and a request clones each box once for every
/// one around it.
fn outermost<L>(app: &App, routes: Router, within: L) -> Router
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Behind + Sync,
{
    let compression = wire::Worthwhile { above: app.settings().http.compress_above };
    routes.layer((
        *app.access_log(),
        around(compression, wire::layer),
        around((), request_id::layer),
        PerfLayer::new(app.node().telemetry.registry().clone(), route_of),
        around((), panics::layer),
        MapRequestLayer::new(linger::linger),
        within,
    ))
}

/// Routes that say nothing of how the service is. Uploads, whose time is their client's; what anybody is answered, since
/// strangers who ask for it often enough would hide an outage; and where anybody logs in: those who leave while a password is
/// compared, or come faster than passwords can be, would make one.
pub(crate) const UNJUDGED: [&str; 11] = [
    "/api/schedules/import",
    "/",
    "/api/session",
    "/openapi.json",
    "/dashboard/logout",
    "/assets/{name}",
    "/dashboard/",
    "/dashboard/login",
    "/dashboard/{*rest}",
    "/api-test/performance",
    "/api-test/queue",
];

/// What the API offers, and the document that says so.
fn offered(app: &App, stop: CancellationToken) -> Router<App> {
    let routes = Routes::new(app);
    let routes = session::operations::add(tenants::operations::add(routes));
    let routes = analytics::operations::add(preferences::operations::add(routes));
    let routes = imports::operations::add(schedules::operations::add(routes));
    let routes = files::operations::add(reports::operations::add(exports::operations::add(routes)));
    let routes = webhooks::operations::add(backups::operations::add(routes));
    let routes = notifications::operations::add(routes, stop.clone());
    let routes = rate_limit::operations::add(cache::operations::add(log::add(routes)));
    let routes = events::operations::add(performance::operations::add(routes), stop);
    probes::describe(queues::operations::add(routes)).finish()
}

/// The route's template, so that one series stands for all ids. None with a method that no route has: the method is the client's to
/// choose, and each would have a series on each route.
fn route_of(request: &Request) -> Option<&str> {
    const SERVED: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    route.filter(|_| SERVED.contains(request.method()))
}

/// Answers in place of all routes until the node has started.
pub(crate) fn of_a_start() -> Router {
    let starting = || async { Problem::unavailable("starting", "this instance has not started yet") };
    Router::new().fallback(starting).layer(around((), request_id::layer))
}
