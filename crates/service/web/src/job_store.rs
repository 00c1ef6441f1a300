//! Counts requests that a full job store refused.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;

use crate::app::App;
use crate::problem::Problem;
use tidegate_server::fn_layer::{Inner, answered};

/// Passes the request on, and checks the [`Problem`] of its response.
pub fn layer<S: Inner>(app: App, request: Request, inner: &mut S) -> impl Future<Output = Response> + Send + use<S> {
    let answer = answered(inner.call(request));
    async move {
        let response = answer.await;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE
            && response.extensions().get::<Problem>().is_some_and(Problem::is_job_store_full)
        {
            app.node().telemetry.job_watch().found_full();
        }
        response
    }
}
