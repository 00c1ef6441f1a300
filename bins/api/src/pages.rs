//! The dashboard. Each page works without JavaScript, which only updates its figures.
//!
//! `visitor` identifies the visitor, `form` parses submitted forms, `layout` is common to all
//! pages, and `live` computes the figures.

mod again;
mod ask;
mod assets;
mod cache;
mod chart;
mod cron;
mod flash;
mod form;
mod here;
mod job;
mod layout;
mod limits;
mod live;
mod login;
mod next;
mod overview;
mod performance;
mod queue;
mod queues;
mod section;
mod table;
mod text;
mod visitor;

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{Redirect, Response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Extension, Router};
use maud::html;
use tidegate_perfmon::Refused;
use tokio_util::sync::CancellationToken;

use self::here::{Here, LIVE, LOGIN, LOGOUT};
use self::live::Live;
use tidegate_server::fn_layer::{Inner, answered, fn_layer};
use tidegate_web::app::App;
use tidegate_web::dashboard_session;
use tidegate_web::fallback::wrong_method;
use tidegate_web::problem::{AsPage, Problem};
use tidegate_web::timeout;

/// Content security policy of a page: it loads files from this origin, and sends forms to it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// Not `no-referrer`, with which a browser sends the origin `null` with its own forms.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// Adds all pages and their assets. Streams end at `stop`.
pub(crate) fn routes(app: &App, stop: CancellationToken) -> Router<App> {
    let live = Live::start(app, stop);
    Router::new()
        .merge(open_routes(app))
        .route("/dashboard", get(overview::show))
        .route("/dashboard/silence", post(overview::alerts::silence))
        .route("/dashboard/lift-silence", post(overview::alerts::lift))
        .route("/dashboard/performance", get(performance::show))
        .route("/dashboard/performance/export", get(performance::export))
        .merge(queue_routes())
        .route("/dashboard/cache", get(cache::show))
        .route("/dashboard/cache/warm-up", post(cache::change::warm_up))
        .route("/dashboard/cache/invalidate", post(cache::change::invalidate))
        .route("/dashboard/cache/class", post(cache::change::class))
        .route("/dashboard/cache/clear", post(cache::change::clear))
        .route("/dashboard/cron", get(cron::show))
        .route("/dashboard/cron/{act}", post(cron::change))
        .route("/dashboard/limits", get(limits::show))
        .route("/dashboard/limits/unblock", post(limits::change::unblock))
        .route("/dashboard/limits/forget", post(limits::change::forget))
        .route("/dashboard/limits/block", post(limits::change::block))
        .route("/dashboard/limits/quota", post(limits::change::quota))
        .route("/dashboard/limits/plan", post(limits::change::plan))
        .route(LIVE, get(live::follow).layer(Extension(live)))
        .method_not_allowed_fallback(wrong_method)
        .layer(fn_layer(*app, timeout::layer))
        .layer(fn_layer(*app, layer))
}

/// Routes that anyone may call. They do not count for the service's health: good responses could
/// hide an outage. Logins could fake one, by clients that leave while a password is hashed.
fn open_routes(app: &App) -> Router<App> {
    let routes: [(&str, MethodRouter<App>); 8] = [
        ("/", get(async || Redirect::to("/dashboard"))),
        (LOGIN, get(login::show).post(login::begin)),
        (LOGOUT, post(login::end)),
        ("/assets/{name}", get(assets::show)),
        ("/api-test/performance", get(async || Redirect::permanent("/dashboard/performance"))),
        ("/api-test/queue", get(async || Redirect::permanent("/dashboard/queues"))),
        ("/dashboard/", get(async || Redirect::permanent("/dashboard"))),
        ("/dashboard/{*rest}", any(unknown)),
    ];
    routes.into_iter().fold(Router::new(), |router, (path, route)| {
        app.node().telemetry.registry().leave_unjudged(path);
        router.route(path, route)
    })
}

fn queue_routes() -> Router<App> {
    Router::new()
        .route("/dashboard/queues", get(queues::show))
        .route("/dashboard/queues/{queue}", get(queue::show))
        .route("/dashboard/queues/{queue}/pause", post(queues::pause))
        .route("/dashboard/queues/{queue}/resume", post(queues::resume))
        .route("/dashboard/queues/{queue}/drain", post(queue::whole::drain))
        .route("/dashboard/queues/{queue}/retry-dead", post(queue::whole::retry_dead))
        .route("/dashboard/queues/{queue}/clean", post(queue::whole::clean))
        .route("/dashboard/queues/{queue}/bulk", post(queue::bulk::change))
        .route("/dashboard/queues/{queue}/jobs/{id}", get(job::show))
        .route("/dashboard/queues/{queue}/jobs/{id}/retry", post(job::retry))
        .route("/dashboard/queues/{queue}/jobs/{id}/promote", post(job::promote))
        .route("/dashboard/queues/{queue}/jobs/{id}/cancel", post(job::cancel))
        .route("/dashboard/queues/{queue}/jobs/{id}/remove", post(job::remove))
}

async fn unknown(request: Request) -> Problem {
    Problem::not_found(format!("there is no page at {}", request.uri().path()))
}

/// Renders a problem as a page, and sets the security headers of a response.
fn layer<S: Inner>(app: App, request: Request, inner: &mut S) -> impl Future<Output = Response> + Send + use<S> {
    let id = request.headers().get("x-request-id").cloned();
    // An unauthenticated client gets no links to pages that it cannot open.
    let is_known = !app.settings().tokens.any() || dashboard_session::role(&app, request.headers()).is_some();
    let here = is_known.then(|| Here::of(request.uri().path()));
    let answer = answered(inner.call(request));
    async move { as_page(answer.await, here, id.as_ref()) }
}

/// `here` is the current page, if the visitor may see pages.
fn as_page(mut response: Response, here: Option<Here>, id: Option<&HeaderValue>) -> Response {
    let is_shown = response.extensions().get::<AsPage>().is_some();
    if let Some(problem) = response.extensions().get::<Problem>().filter(|_| !is_shown).cloned() {
        response = problem_page(response, problem, here, id);
    }
    if response.status().is_client_error() {
        // Unauthenticated clients get it too, so it does not count for the health of the pages.
        response.extensions_mut().insert(Refused);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, REFERRER);
    response
}

fn problem_page(response: Response, problem: Problem, here: Option<Here>, id: Option<&HeaderValue>) -> Response {
    let status = response.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let page = layout::plain(
        status,
        title,
        &html! { @if let Some(here) = here { (layout::nav(here)) } },
        &html! {
            p { (problem.detail()) }
            @if let Some(id) = id.and_then(|id| id.to_str().ok()) { p.note { "Request " code { (id) } } }
            p {
                @match here {
                    Some(here) => a href=(here.path()) { "Back to " (here.title()) },
                    None => a href=(Here::Overview.path()) { "To the dashboard" },
                }
            }
        },
    );
    layout::shown(response, problem, page)
}
