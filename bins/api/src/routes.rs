//! The complete router: the API, the pages, the probes, and the layers around them.

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
use tidegate_server::linger;
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;
use tower::util::MapRequestLayer;
use tower_layer::Layer;

use crate::openapi::Routes;
use crate::pages;
use tidegate_server::fn_layer::{Inner, fn_layer};
use tidegate_web::app::App;
use tidegate_web::client;
use tidegate_web::fallback::{unknown, wrong_method};
use tidegate_web::problem::Problem;
use tidegate_web::{job_store, limits, panics, request_id, shed, wire};

/// All routes with all their layers.
///
/// Streams end at `stop`.
pub(crate) fn router(app: &App, probes: Probes, stop: CancellationToken) -> Router {
    let front = RateLimitLayer::with_policy(limits::Front(*app)).reject_with(limits::refuse);
    let guarded = Router::new()
        .merge(pages::routes(app, stop.clone()))
        .merge(offered(app, stop))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(*app);
    // Shedding comes after the front limiter: a request that the limiter refuses needs no permit.
    let guarded = outermost(
        app,
        guarded,
        (fn_layer(*app, client::layer), front, fn_layer(*app, shed::layer), fn_layer(*app, job_store::layer)),
    );
    // Probes are always answered: an orchestrator kills a process whose probe is refused.
    let probes = probes.router().method_not_allowed_fallback(wrong_method);
    guarded.merge(outermost(app, probes, Identity::new()))
}

/// Adds the common layers around all routes, with `within` innermost.
///
/// One call of `layer` adds all of them. Each call would box every route once more, and a request
/// clones each box once for each box around it.
fn outermost<L>(app: &App, routes: Router, within: L) -> Router
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Inner + Sync,
{
    let compression = wire::Compressible { above: app.settings().http.compress_above };
    routes.layer((
        *app.access_log(),
        fn_layer(compression, wire::layer),
        fn_layer((), request_id::layer),
        PerfLayer::new(app.node().telemetry.registry().clone(), route_of),
        fn_layer((), panics::layer),
        MapRequestLayer::new(linger::linger),
        within,
    ))
}

/// The routes of the API, and the document that describes them.
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

/// Returns the route's template, so that one series covers all ids. `None` for a method that no
/// route has: clients choose it, and each would add a series to each route.
fn route_of(request: &Request) -> Option<&str> {
    const SERVED: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    route.filter(|_| SERVED.contains(request.method()))
}

/// Responds in place of all routes until the node has started.
pub(crate) fn of_a_start() -> Router {
    let starting = || async { Problem::unavailable("starting", "this instance has not started yet") };
    Router::new().fallback(starting).layer(fn_layer((), request_id::layer))
}
