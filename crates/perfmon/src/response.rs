//! A request on its way to a response.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use pin_project_lite::pin_project;

use crate::endpoint::{CallOutcome, Endpoint};
use crate::registry::Registry;

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
            Ok(response) => this.recording.finish(CallOutcome::Status(response.status().as_u16()), response.headers()),
            Err(_) => this.recording.finish(CallOutcome::Failed, &HeaderMap::new()),
        }
        Poll::Ready(result)
    }
}

/// Records exactly once, at the latest when dropped.
#[derive(Debug)]
pub(crate) struct Recording {
    registry: Registry,
    endpoint: Arc<Endpoint>,
    started: Duration,
    id_header: HeaderName,
    request_id: Option<HeaderValue>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// The service has control. Whoever finds this afterwards knows that it panicked, even if the panic was
    /// caught on the way and the future dropped later.
    Running,
    Recorded,
}

impl Recording {
    pub(crate) fn start(
        registry: Registry,
        endpoint: Arc<Endpoint>,
        id_header: HeaderName,
        request_id: Option<HeaderValue>,
    ) -> Self {
        let started = registry.now();
        Self { registry, endpoint, started, id_header, request_id, state: State::Waiting }
    }

    pub(crate) fn running<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.state = State::Running;
        let done = work();
        self.state = State::Waiting;
        done
    }

    fn finish(&mut self, outcome: CallOutcome, headers: &HeaderMap) {
        self.state = State::Recorded;
        let id = headers.get(&self.id_header).or(self.request_id.as_ref());
        let id = id.and_then(|id| id.to_str().ok());
        let elapsed = self.registry.now().saturating_sub(self.started);
        self.registry.finished(&self.endpoint, outcome, elapsed, id);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let outcome = match self.state {
            State::Waiting => CallOutcome::Aborted,
            State::Running => CallOutcome::Failed,
            State::Recorded => return,
        };
        self.finish(outcome, &HeaderMap::new());
    }
}
