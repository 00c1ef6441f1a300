//! The layer that records a request and counts the bytes of its response.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Response;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tidegate_perfmon::ReceivedAt;
use tidegate_settings::AccessLogSettings;
use tower_layer::Layer;
use tower_service::Service;

use super::line::{Line, name_of};
use super::{AccessLog, Message, TenantOf};
use crate::request_id::X_REQUEST_ID;

impl AccessLog {
    fn begin(&self, request: &Request) -> Option<Note> {
        let is_chosen = match self.0.settings {
            AccessLogSettings::Off => return None,
            AccessLogSettings::Sampled(share) => rand::random::<f64>() < share,
            AccessLogSettings::Full => true,
        };
        let line = Line {
            method: name_of(request.method()),
            route: request.extensions().get().cloned(),
            status: None,
            bytes: 0,
            elapsed: Duration::ZERO,
            whole: false,
            id: None,
            trace: None,
            tenant: None,
        };
        let begun = request.extensions().get().map_or_else(|| (self.0.now)(), |ReceivedAt(at)| *at);
        Some(Note { log: *self, is_chosen, is_broken: false, begun, line: Some(line) })
    }
}

/// A request in progress. Its drop writes the line, however the request ended.
struct Note {
    log: AccessLog,
    is_chosen: bool,
    is_broken: bool,
    begun: Duration,
    /// Only the drop takes it.
    line: Option<Line>,
}

impl Note {
    fn answered<B: HttpBody>(&mut self, answer: &Response<B>) {
        let Some(line) = &mut self.line else { return };
        line.status = Some(answer.status());
        line.id = answer.headers().get(X_REQUEST_ID).cloned();
        line.trace = answer.extensions().get().copied();
        line.tenant = answer.extensions().get().map(|TenantOf(tenant)| tenant.clone());
        // The body of a response to HEAD, or an empty one, is never polled.
        line.whole = line.method == "HEAD" || answer.body().is_end_stream();
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let Some(mut line) = self.line.take() else { return };
        let is_failure = self.is_broken || line.status.is_none_or(|status| status.is_server_error());
        if !self.is_chosen && !is_failure {
            return;
        }
        line.elapsed = (self.log.0.now)().saturating_sub(self.begun);
        if self.log.0.queue.try_send(Message::Line(line)).is_err() {
            self.log.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<S> Layer<S> for AccessLog {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Logged<S> {
        Logged { log: *self, inner }
    }
}

#[derive(Clone)]
pub struct Logged<S> {
    log: AccessLog,
    inner: S,
}

impl<S, B> Service<Request> for Logged<S>
where
    S: Service<Request, Response = Response<B>>,
    B: HttpBody,
{
    type Response = Response<LoggedBody<B>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let note = self.log.begin(&request);
        Answering { inner: self.inner.call(request), note }
    }
}

pin_project! {
    /// A response that is being sent.
    pub struct Answering<F> {
        #[pin]
        inner: F,
        note: Option<Note>,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody,
{
    type Output = Result<Response<LoggedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(context))?;
        let mut note = this.note.take();
        if let Some(note) = &mut note {
            note.answered(&answer);
        }
        Poll::Ready(Ok(answer.map(|body| LoggedBody { inner: body, note })))
    }
}

pin_project! {
    /// A body whose bytes are counted.
    pub struct LoggedBody<B> {
        #[pin]
        inner: B,
        note: Option<Note>,
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for LoggedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(context));
        if let Some(note) = this.note.as_mut()
            && let Some(line) = &mut note.line
        {
            match &frame {
                Some(Ok(frame)) => {
                    line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                    line.whole = this.inner.is_end_stream();
                }
                Some(Err(_)) => note.is_broken = true,
                None => line.whole = true,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
