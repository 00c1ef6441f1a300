//! A request on its way to a response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use pin_project_lite::pin_project;

use crate::layer::recording::Recording;
use crate::outcome::call::CallOutcome;
use crate::registry::calls::End;
use crate::request::refused::Refused;

pin_project! {
    /// The future of a timed request.
    #[derive(Debug)]
    pub struct PerfFuture<F> {
        #[pin]
        inner: F,
        recording: Recording,
    }
}

impl<F> PerfFuture<F> {
    pub(crate) fn new(inner: F, recording: Recording) -> Self {
        Self { inner, recording }
    }
}

impl<F, R, E> Future for PerfFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.recording.running(|| this.inner.poll(cx)));
        match &result {
            Ok(response) => {
                let is_refused = response.extensions().get::<Refused>().is_some();
                let outcome = CallOutcome::Status(response.status().as_u16());
                this.recording.finish(End { outcome, is_refused }, response.headers());
            }
            Err(_) => this.recording.finish(End { outcome: CallOutcome::Failed, is_refused: false }, &HeaderMap::new()),
        }
        Poll::Ready(result)
    }
}
