//! Bounds how long a request may take.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::problem::Problem;

/// A commit that is under way runs to its end, whoever stopped waiting for it.
const OUTCOME_UNKNOWN: &str = "; whether it has changed anything is not known: look before you send it again";

/// Layer that answers 503 in place of a route that is not done in time.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    in_time(&app, next.run(request), if is_read { "" } else { OUTCOME_UNKNOWN }).await
}

/// The outcome of `work`, which changes nothing, or a problem once the time of a request is up.
pub(crate) async fn bounded<T>(app: &App, work: impl Future<Output = T>) -> Result<T, Problem> {
    in_time(app, work, "").await
}

async fn in_time<T>(app: &App, work: impl Future<Output = T>, outcome: &str) -> Result<T, Problem> {
    let limit = app.settings().http.request_timeout;
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let detail = format!("the request was not done within {} s{outcome}", limit.as_secs_f64());
        Problem::unavailable("timeout", detail)
    })
}
