//! How long a request's body keeps its reader waiting.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use hyper::body::{Frame, SizeHint};
use tidegate_perfmon::BodyWait;

/// A body that records when its reader waits for the next piece.
#[derive(Debug)]
pub(super) struct WaitedBody<B, N: Fn() -> Duration> {
    body: B,
    /// `None` if the body was complete from the start.
    wait: Option<(BodyWait, N)>,
}

impl<B: HttpBody, N: Fn() -> Duration> WaitedBody<B, N> {
    pub(super) fn new(body: B, now: impl FnOnce() -> N) -> Self {
        let wait = (!body.is_end_stream()).then(|| (BodyWait::default(), now()));
        Self { body, wait }
    }

    /// Returns the record of the waits, if the body has to be waited for.
    pub(super) fn wait(&self) -> Option<BodyWait> {
        self.wait.as_ref().map(|(wait, _)| wait.clone())
    }
}

impl<B, N> HttpBody for WaitedBody<B, N>
where
    B: HttpBody + Unpin,
    N: Fn() -> Duration + Unpin,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Some((wait, now)) = &this.wait {
            match (frame.is_pending(), wait.is_waiting()) {
                (true, false) => wait.begin(now()),
                (false, true) => wait.end(now()),
                _ => {}
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B, N: Fn() -> Duration> Drop for WaitedBody<B, N> {
    fn drop(&mut self) {
        if let Some((wait, now)) = self.wait.take().filter(|(wait, _)| wait.is_waiting()) {
            wait.end(now());
        }
    }
}
