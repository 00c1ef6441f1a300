//! What is done with the rest of a body that nobody wants.
//!
//! A server that closes a connection on which its client still sends resets it, and the client often loses the answer
//! with it: instead of 413 it sees a broken pipe. So the rest is read for a moment and forgotten, while the answer is on
//! its way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

/// How long the rest is read: enough for a client to see the answer, too short to be of use to an attacker.
const PATIENCE: Duration = Duration::from_secs(3);

/// Layer that reads on after a refusal.
pub async fn layer(request: Request, next: Next) -> Response {
    if http_body::Body::is_end_stream(request.body()) {
        return next.run(request).await;
    }
    // Who asked first whether to send has not begun, and is told by the answer not to.
    let is_coming = !request.headers().contains_key(header::EXPECT);
    let request = request.map(|body| Body::new(Lingering { rest: Some(body), is_coming }));
    next.run(request).await
}

/// A request's body; what is left of it when it is dropped is read in the background.
struct Lingering {
    /// `None` once it has ended.
    rest: Option<Body>,
    is_coming: bool,
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_coming = true;
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(rest).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or(SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.rest.take().filter(|rest| self.is_coming && !http_body::Body::is_end_stream(rest));
        // Without a runtime the process is ending, and the connection with it.
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(PATIENCE, forget(rest)));
        }
    }
}

async fn forget(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}
