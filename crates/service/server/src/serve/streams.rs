//! Bounds what a client can hold on to over HTTP/2, where one connection carries many requests.
//!
//! hyper has no timer for a client that sends no settings, sends no request, or opens no window for
//! a response. It would keep such a connection for ever. While a response waits for its window, the
//! connection itself is not blocked, so this module watches the responses. A response that the
//! client does not read is reset alone: behind a proxy, the other streams of the connection belong
//! to other clients.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::sync::Notify;
use tokio::task_local;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arrival::Arrivals;
use super::bounds::Bounds;
use super::minimum_rate::MinimumRate;

/// Maximum number of concurrent requests per connection, as in most servers.
const MOST_STREAMS: u32 = 100;
/// Bytes of request bodies that are buffered per stream and per connection.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Maximum size of a request's headers in bytes, in however many frames. More gets a 431.
const LARGEST_HEAD: u32 = 64 << 10;
/// Maximum number of resets per connection: of requests that the server has not accepted yet, and
/// of those that broke the protocol. Beyond it the connection is closed. A client can open and
/// reset streams at no cost (CVE-2023-44487, CVE-2025-8671).
const MOST_PENDING_RESETS: usize = 20;
const MOST_LOCAL_RESETS: usize = 100;
/// Maximum number of requests that the client reset before their response. Each request that is
/// answered reduces the count by one.
const MOST_GIVEN_UP: u32 = 100;
/// Interval of PING frames, and the time to wait for their reply.
const PING: Duration = Duration::from_secs(20);
/// Maximum size of a piece of a response in bytes. A client that opens no window makes the server
/// buffer no more than this.
const PIECE: usize = 16 << 10;
/// How often a connection is checked. It is checked at least four times within its shortest
/// timeout.
const LOOK: Duration = Duration::from_secs(1);

/// Returns the HTTP/2 settings of one connection, which runs each request as one of `tasks`.
pub(super) fn builder(tasks: Tasks) -> http2::Builder<Tasks> {
    let mut http = http2::Builder::new(tasks);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(LARGEST_HEAD)
        .max_pending_accept_reset_streams(MOST_PENDING_RESETS)
        .max_local_error_reset_streams(MOST_LOCAL_RESETS)
        .max_send_buf_size(PIECE * 4)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    http
}

/// The tasks of one connection, one per request. They end with the connection, and the tracker
/// waits for that.
#[derive(Debug, Clone)]
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    pub(super) ended: CancellationToken,
}

task_local! {
    /// Cancels the current task, which resets its request. hyper has no other way to reset a single
    /// request.
    static RESET: CancellationToken;
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let reset = self.ended.child_token();
        self.tracker.spawn(RESET.scope(reset.clone(), async move {
            reset.run_until_cancelled(task).await;
        }));
    }
}

/// Number of requests in flight of an address and their limit. All of its connections share it.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pub(super) used: Arc<AtomicUsize>,
    pub(super) most: usize,
}

/// The requests of one connection. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Bounds,
    /// `None` if many clients share the address.
    budget: Option<Budget>,
    arrivals: Arrivals,
    open: Mutex<Open>,
    asked: Notify,
    /// Whether new requests are refused.
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    streams: HashMap<u64, Taking>,
    given_up: u32,
}

/// How much of a response the client has read.
#[derive(Debug)]
enum Taking {
    /// All that was sent.
    All,
    /// All but one piece. The request is reset if the client has not read it by then.
    Piece { by: Instant, reset: CancellationToken },
    /// The request was reset.
    Late,
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// It had no request for a while.
    Idle,
    /// Its client resets its requests, or does not read the responses.
    Harmful,
}

impl Streams {
    pub(super) fn new(settings: Bounds, budget: Option<Budget>, arrivals: Arrivals) -> Self {
        let (open, asked, is_closed) = (Mutex::default(), Notify::new(), AtomicBool::new(false));
        Self(Arc::new(Shared { settings, budget, arrivals, open, asked, is_closed }))
    }

    /// Begins a request. `None` if its address has reached its limit, or after the end.
    pub(super) fn begin(&self) -> Option<Stream> {
        let shared = &self.0;
        if shared.is_closed.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(Budget { used, most }) = &shared.budget
            && used.fetch_add(1, Ordering::Relaxed) >= *most
        {
            used.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut open = self.open();
        open.next += 1;
        let id = open.next;
        open.streams.insert(id, Taking::All);
        shared.arrivals.busy();
        shared.asked.notify_one();
        Some(Stream { streams: self.clone(), id, is_answered: false })
    }

    /// Returns when no request is in progress after GOAWAY was sent. Requests that arrive later
    /// than `patience` after that are refused. hyper accepts requests until the client answers a
    /// PING, which it may never do.
    pub(super) async fn farewell(&self, patience: Duration) {
        // A client that is idle now may still send a request until then, and gets a response.
        let harmful = async { while self.useless(patience).await == CloseReason::Idle {} };
        tokio::select! {
            () = sleep(patience) => self.0.is_closed.store(true, Ordering::Relaxed),
            () = harmful => return,
        }
        self.useless(patience).await;
    }

    /// Returns once there was a request.
    pub(super) async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// Resets requests whose responses the client does not read. Returns when the connection should
    /// be closed. An idle connection is closed after `patience`.
    pub(super) async fn useless(&self, patience: Duration) -> CloseReason {
        let look = LOOK.min(patience / 4).min(self.0.settings.write_timeout / 4);
        loop {
            sleep(look).await;
            let now = Instant::now();
            let mut open = self.open();
            for taking in open.streams.values_mut() {
                if let Taking::Piece { by, reset } = taking
                    && *by <= now
                {
                    reset.cancel();
                    *taking = Taking::Late;
                }
            }
            if open.given_up > MOST_GIVEN_UP {
                return CloseReason::Harmful;
            }
            drop(open);
            if self.0.arrivals.idle_since().is_some_and(|since| since + patience <= now) {
                return CloseReason::Idle;
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, until the last piece of its response was handed to hyper.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Streams,
    id: u64,
    is_answered: bool,
}

impl Stream {
    /// Watches how the client reads the response.
    pub(super) fn answering(mut self, body: Body) -> PacedResponse {
        self.is_answered = true;
        let pace = MinimumRate::new(self.streams.0.settings.min_rate);
        // hyper does not poll for the first piece before the client has opened a window.
        let handed = Some(self.hand(self.streams.0.settings.write_timeout));
        PacedResponse { body, rest: Bytes::new(), pace, handed, stream: self }
    }

    /// Starts the time in which the client has to read the current piece. Returns its start.
    fn hand(&self, patience: Duration) -> Instant {
        let now = Instant::now();
        // Only tasks of this module send responses. Outside of one there is nothing to reset.
        if let Ok(reset) = RESET.try_with(CancellationToken::clone) {
            self.set(Taking::Piece { by: now + patience, reset });
        }
        now
    }

    fn set(&self, taking: Taking) {
        self.streams.open().streams.insert(self.id, taking);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let shared = &self.streams.0;
        if let Some(budget) = &shared.budget {
            budget.used.fetch_sub(1, Ordering::Relaxed);
        }
        let mut open = self.streams.open();
        let is_late = matches!(open.streams.remove(&self.id), Some(Taking::Late));
        let is_good = self.is_answered && !is_late;
        open.given_up = if is_good { open.given_up.saturating_sub(1) } else { open.given_up + 1 };
        if open.streams.is_empty() {
            shared.arrivals.idle();
        }
    }
}

/// The body of a response, split into pieces. The client has to read each piece in time.
#[derive(Debug)]
pub(super) struct PacedResponse {
    body: Body,
    rest: Bytes,
    pace: MinimumRate,
    /// Since when a piece waits to be read, or the first one to be requested.
    handed: Option<Instant>,
    stream: Stream,
}

impl HttpBody for PacedResponse {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(since) = this.handed.take() {
            this.pace.waited(since.elapsed());
            this.stream.set(Taking::All);
        }
        if this.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)?) else { return Poll::Ready(None) };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        this.pace.moved(piece.len());
        let patience = this.stream.streams.0.settings.write_timeout;
        let patience = this.pace.patience().map_or(patience, |pace| pace.min(patience));
        this.handed = Some(this.stream.hand(patience));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(body.lower().saturating_add(rest));
        hint
    }
}
