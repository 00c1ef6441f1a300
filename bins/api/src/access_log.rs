//! One line of the log for each request: what was asked for and what was sent, never what it was about.
//!
//! A line is made when the last byte of an answer is on its way, and written by a thread of its own. Between the two lies a queue
//! of so many lines; what finds no room there is counted and gone, so that no request ever waits for a disk or a terminal.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tidegate_model::tenant::TenantId;
use tidegate_perfmon::{ReceivedAt, TraceContext, UNMATCHED};
use tidegate_settings::AccessLogSettings;
use tidegate_telemetry::Telemetry;
use tokio::sync::oneshot;
use tower_layer::Layer;
use tower_service::Service;

use crate::request_id::X_REQUEST_ID;

/// Lines that wait to be written: about a second of a busy process, and a few MiB.
const WAITING: usize = 16_384;
/// How long an ending process waits for the lines that are on their way.
const FLUSH: Duration = Duration::from_secs(1);

/// Whom an answer was for; `caller` leaves it on the answer.
#[derive(Debug, Clone)]
pub(crate) struct Asked(pub(crate) TenantId);

/// The log of requests, and the layer that writes it: one for as long as the process lives.
#[derive(Clone, Copy)]
pub(crate) struct AccessLog(&'static Parts);

struct Parts {
    settings: AccessLogSettings,
    /// The clock that also says when a request came.
    now: Box<dyn Fn() -> Duration + Send + Sync>,
    queue: SyncSender<Message>,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line(Line),
    /// Answered when all before it is written.
    Flush(oneshot::Sender<()>),
}

/// What is told of a request.
#[derive(Debug)]
struct Line {
    method: &'static str,
    route: Option<MatchedPath>,
    status: Option<StatusCode>,
    /// Of the body, as it was sent.
    bytes: u64,
    /// From the head to the last byte of the answer.
    elapsed: Duration,
    /// Whether the answer was sent to its end.
    whole: bool,
    id: Option<HeaderValue>,
    trace: Option<TraceContext>,
    tenant: Option<TenantId>,
}

impl AccessLog {
    /// Starts the thread that writes, and shows what it loses.
    pub(crate) fn start(settings: AccessLogSettings, telemetry: &Telemetry) -> Self {
        let registry = telemetry.registry().clone();
        let log = Self::with(settings, WAITING, move || registry.now(), write);
        telemetry.watch_access_log(move || log.0.dropped.load(Ordering::Relaxed));
        log
    }

    fn with(
        settings: AccessLogSettings,
        waiting: usize,
        now: impl Fn() -> Duration + Send + Sync + 'static,
        write: impl Fn(&Line) + Send + 'static,
    ) -> Self {
        let (queue, lines) = sync_channel(waiting);
        if settings != AccessLogSettings::Off {
            let thread = std::thread::Builder::new().name("access-log".to_owned());
            if let Err(error) = thread.spawn(move || write_all(&lines, write)) {
                tracing::error!(%error, "the access log has no thread, and loses its lines");
            }
        }
        Self(Box::leak(Box::new(Parts { settings, now: Box::new(now), queue, dropped: AtomicU64::new(0) })))
    }

    /// Returns when all lines so far are written, or a second has passed.
    pub(crate) async fn flush(&self) {
        let (told, written) = oneshot::channel();
        if self.0.queue.try_send(Message::Flush(told)).is_ok() {
            // What a blocked reader holds up must not hold up the end.
            let _ = tokio::time::timeout(FLUSH, written).await;
        }
    }

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

/// Any token may be a method, and so may a secret.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "OTHER",
    }
}

fn write_all(lines: &Receiver<Message>, write: impl Fn(&Line)) {
    while let Ok(message) = lines.recv() {
        match message {
            Message::Line(line) => write(&line),
            // Whoever waited may have given up.
            Message::Flush(told) => drop(told.send(())),
        }
    }
}

fn write(line: &Line) {
    let trace_id = line.trace.map(|trace| format!("{:032x}", trace.trace_id()));
    tracing::info!(
        target: "tidegate::access",
        method = line.method,
        // The template and not the path: what a client wrote into it may be anything.
        route = line.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str),
        status = line.status.map(|status| status.as_u16()),
        bytes = line.bytes,
        elapsed = ?line.elapsed,
        whole = line.whole,
        request_id = line.id.as_ref().and_then(|id| id.to_str().ok()),
        trace_id = trace_id.as_deref(),
        tenant = line.tenant.as_ref().map(TenantId::as_str),
        "request"
    );
}

/// A request under way. It is told of when it is dropped, however it ended.
struct Note {
    log: AccessLog,
    is_chosen: bool,
    is_broken: bool,
    begun: Duration,
    /// Taken by the drop alone.
    line: Option<Line>,
}

impl Note {
    fn answered<B: HttpBody>(&mut self, answer: &Response<B>) {
        let Some(line) = &mut self.line else { return };
        line.status = Some(answer.status());
        line.id = answer.headers().get(X_REQUEST_ID).cloned();
        line.trace = answer.extensions().get().copied();
        line.tenant = answer.extensions().get().map(|Asked(tenant)| tenant.clone());
        // Nobody reads the body of an answer to HEAD, nor one that is empty.
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

/// A service whose requests are told of.
#[derive(Clone)]
pub(crate) struct Logged<S> {
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
    /// An answer on its way.
    pub(crate) struct Answering<F> {
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
    pub(crate) struct LoggedBody<B> {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use tower::service_fn;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn request() -> Request {
        Request::get("/a?token=hunter2").body(Body::empty()).unwrap()
    }

    /// Asks once, and reads the whole answer.
    async fn ask(log: &AccessLog, status: StatusCode) {
        let answer = move |_: Request| async move {
            let mut answer = Response::new(Body::from("four"));
            *answer.status_mut() = status;
            Ok::<_, Infallible>(answer)
        };
        let answer = log.layer(service_fn(answer)).call(request()).await.unwrap();
        let body = axum::body::to_bytes(Body::new(answer.into_body()), usize::MAX).await.unwrap();
        assert_eq!(body, "four");
    }

    type Kept = Arc<Mutex<Vec<(Option<u16>, u64, bool)>>>;

    fn keeping(settings: AccessLogSettings) -> (AccessLog, Kept) {
        let kept = Kept::default();
        let to = Arc::clone(&kept);
        let keep = move |line: &Line| {
            to.lock().unwrap().push((line.status.map(|status| status.as_u16()), line.bytes, line.whole));
        };
        (AccessLog::with(settings, WAITING, || Duration::ZERO, keep), kept)
    }

    #[tokio::test]
    async fn a_full_log_never_delays() {
        let written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written);
        let (open, gate) = channel::<()>();
        let log = AccessLog::with(
            AccessLogSettings::Full,
            10,
            || Duration::ZERO,
            move |_| {
                // Held up until the other end is gone.
                let _ = gate.recv();
                count.fetch_add(1, Ordering::Relaxed);
            },
        );
        // Whoever waited for the log would wait for the gate, which opens behind it.
        for _ in 0..1_000 {
            ask(&log, StatusCode::OK).await;
        }
        let dropped = log.0.dropped.load(Ordering::Relaxed);
        // Ten wait, and one more may be before the gate.
        assert!((989..=990).contains(&dropped), "{dropped}");
        drop(open);
        let all = async {
            while written.load(Ordering::Relaxed) + dropped < 1_000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, all).await.expect("what found room is written");
        log.flush().await;
        assert_eq!(written.load(Ordering::Relaxed) + dropped, 1_000);
    }

    #[tokio::test]
    async fn failures_are_told_however_few_are_chosen() {
        let (log, kept) = keeping(AccessLogSettings::Sampled(0.0));
        ask(&log, StatusCode::OK).await;
        ask(&log, StatusCode::NOT_FOUND).await;
        ask(&log, StatusCode::SERVICE_UNAVAILABLE).await;
        let hangs = service_fn(|_: Request| std::future::pending::<Result<Response<Body>, Infallible>>());
        drop(log.layer(hangs).call(request()));
        log.flush().await;
        assert_eq!(*kept.lock().unwrap(), [(Some(503), 4, true), (None, 0, false)]);
    }

    #[tokio::test]
    async fn each_request_is_told_once_or_not_at_all() {
        let (log, kept) = keeping(AccessLogSettings::Full);
        for _ in 0..100 {
            ask(&log, StatusCode::OK).await;
        }
        log.flush().await;
        assert_eq!(*kept.lock().unwrap(), [(Some(200), 4, true)].repeat(100));
        let (log, kept) = keeping(AccessLogSettings::Off);
        ask(&log, StatusCode::INTERNAL_SERVER_ERROR).await;
        log.flush().await;
        assert!(kept.lock().unwrap().is_empty());
        assert_eq!(log.0.dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_method_of_ones_own_is_not_repeated() {
        assert_eq!(name_of(&Method::from_bytes(b"hunter2").unwrap()), "OTHER");
        assert_eq!(name_of(&Method::PATCH), "PATCH");
    }
}
