//! The record of one request, made when it ends.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Extensions, HeaderMap};

use crate::outcome::call::CallOutcome;
use crate::record::endpoint::Endpoint;
use crate::registry::Registry;
use crate::registry::calls::End;
use crate::request::body_wait::BodyWait;
use crate::request::received_at::ReceivedAt;
use crate::request::trace_context::TraceContext;
use crate::request::under_way::Note;

/// The data that all requests of a layer share.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) registry: Registry,
    pub(crate) request_id: HeaderName,
}

/// Records exactly once, at the latest when dropped.
#[derive(Debug)]
pub(crate) struct Recording {
    common: Arc<Common>,
    endpoint: Arc<Endpoint>,
    started: Duration,
    note: Note,
    body: Option<BodyWait>,
    trace: Option<TraceContext>,
    request_id: Option<HeaderValue>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// The service is running. If this state is found afterwards, the service panicked, even if the
    /// panic was caught on the way and the future was dropped later.
    Running,
    Recorded,
}

impl Recording {
    pub(crate) fn start(
        common: Arc<Common>,
        endpoint: Arc<Endpoint>,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Self {
        let now = common.registry.now();
        let started = match extensions.get::<ReceivedAt>() {
            Some(&ReceivedAt(received)) => {
                common.registry.waited(now.saturating_sub(received));
                received.min(now)
            }
            None => now,
        };
        let body = extensions.get::<BodyWait>().cloned();
        let note = endpoint.under_way().begin(started, body.clone());
        let trace = extensions.get::<TraceContext>().copied();
        let request_id = headers.get(&common.request_id).cloned();
        Self { common, endpoint, started, note, body, trace, request_id, state: State::Waiting }
    }

    pub(crate) fn running<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.state = State::Running;
        let done = work();
        self.state = State::Waiting;
        done
    }

    pub(crate) fn finish(&mut self, end: End, headers: &HeaderMap) {
        self.state = State::Recorded;
        self.endpoint.under_way().end(self.note);
        let Common { registry, request_id } = &*self.common;
        let now = registry.now();
        let mut elapsed = now.saturating_sub(self.started);
        if let Some(body) = &self.body {
            let waited = body.until(now);
            registry.waited_for_body(waited);
            elapsed = elapsed.saturating_sub(waited);
        }
        // Rarely needed, so it is looked up only then.
        let id = || headers.get(request_id).or(self.request_id.as_ref())?.to_str().ok();
        registry.finished_call(&self.endpoint, end, elapsed, id, self.trace);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let outcome = match self.state {
            State::Waiting => CallOutcome::Aborted,
            State::Running => CallOutcome::Failed,
            State::Recorded => return,
        };
        self.finish(End { outcome, is_refused: false }, &HeaderMap::new());
    }
}
