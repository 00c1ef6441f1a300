//! Bounds how long a request may take.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::problem::Problem;

/// Layer that answers 503 in place of a route that is not done in time.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let limit = app.settings().http.request_timeout;
    tokio::time::timeout(limit, next.run(request)).await.map_err(|_| {
        let detail = format!("the request was not done within {} s", limit.as_secs_f64());
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail)
    })
}
