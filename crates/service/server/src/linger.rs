//! Reads and discards the rest of a body that was refused.
//!
//! A server that closes a connection while its client is still sending resets it. The client then
//! often loses the response and sees a broken pipe instead of 413. So the rest is read for a moment
//! while the response is sent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::header;
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};

/// How long the rest is read: long enough for the client to see the response, and too short to help
/// an attacker.
const PATIENCE: Duration = Duration::from_secs(3);

/// Wraps the request, so that the rest of its body is read after a refusal.
pub fn linger(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    // A client that expects `100 Continue` has not started to send, and the response stops it.
    let is_coming = !request.headers().contains_key(header::EXPECT);
    let lingering = |body: Body| Lingering { rest: Some(body.into_data_stream()), is_coming };
    request.map(|body| Body::from_stream(lingering(body)))
}

/// A request's body. If it is dropped early, the rest is read in the background.
struct Lingering {
    /// `None` once it has ended.
    rest: Option<BodyDataStream>,
    is_coming: bool,
}

impl Stream for Lingering {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_coming = true;
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = rest.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        polled
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.rest.take().filter(|_| self.is_coming);
        // Without a runtime the process is ending, and so is the connection.
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(PATIENCE, forget(rest)));
        }
    }
}

async fn forget(mut rest: BodyDataStream) {
    while let Some(Ok(_)) = rest.next().await {}
}
