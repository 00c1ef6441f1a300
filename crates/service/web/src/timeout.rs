//! Limits the duration of a request.

use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};

use crate::app::App;
use crate::problem::Problem;
use tidegate_server::fn_layer::{Inner, answered};

/// A running commit completes, even if its caller has given up.
const OUTCOME_UNKNOWN: &str = "; it may have made changes: check before you send it again";

/// Layer that returns 503 in place of a route that does not finish in time. It returns 408 if the
/// route still waits for its client's body: then the server was not slow, and nothing has changed.
///
/// # Errors
///
/// 503 or 408.
pub fn layer<S: Inner>(
    app: App,
    mut request: Request,
    inner: &mut S,
) -> impl Future<Output = Result<Response, Problem>> + Send + use<S> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let outcome = if is_read { "" } else { OUTCOME_UNKNOWN };
    let is_awaited = (!request.body().is_end_stream()).then(|| {
        let is_awaited = Arc::new(AtomicBool::new(false));
        let watched = |body: Body| Body::from_stream(WaitedBody(body.into_data_stream(), Arc::clone(&is_awaited)));
        let body = mem::take(request.body_mut());
        *request.body_mut() = watched(body);
        is_awaited
    });
    let work = answered(inner.call(request));
    async move {
        // Kept here, because a dropped route no longer waits for its body.
        let mut work = pin!(work);
        in_time(&app, work.as_mut(), outcome).await.map_err(|problem| match is_awaited {
            Some(is_awaited) if is_awaited.load(Ordering::Relaxed) => body_too_slow(&app),
            _ => problem,
        })
    }
}

/// Returns the outcome of `work`, which changes nothing, or a problem after the timeout.
///
/// # Errors
///
/// 503.
pub async fn bounded<T>(app: &App, work: impl Future<Output = T>) -> Result<T, Problem> {
    in_time(app, work, "").await
}

async fn in_time<T>(app: &App, work: impl Future<Output = T>, outcome: &str) -> Result<T, Problem> {
    let limit = app.settings().http.request_timeout;
    let mut work = pin!(work);
    // A result from the cache is ready at once, and needs no timer.
    if let Poll::Ready(done) = futures_util::poll!(work.as_mut()) {
        return Ok(done);
    }
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let detail = format!("the request was not done within {} s{outcome}", limit.as_secs_f64());
        Problem::unavailable("timeout", detail)
    })
}

fn body_too_slow(app: &App) -> Problem {
    let limit = app.settings().http.request_timeout.as_secs_f64();
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", format!("the body did not arrive within {limit} s"))
        // The rest of the body is not read, so the connection can't be used again.
        .header(header::CONNECTION, HeaderValue::from_static("close"))
}

/// A request's body that records whether the route waits for more of it.
struct WaitedBody(BodyDataStream, Arc<AtomicBool>);

impl Stream for WaitedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.0.poll_next_unpin(context);
        self.1.store(polled.is_pending(), Ordering::Relaxed);
        polled
    }
}

impl Drop for WaitedBody {
    fn drop(&mut self) {
        self.1.store(false, Ordering::Relaxed);
    }
}
