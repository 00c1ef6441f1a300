//! What a client may hold on to over HTTP/2, where one connection is many requests.
//!
//! hyper has no timer for any of it: a client that settles nothing, asks for nothing, or opens no window for an answer would be kept
//! for ever. While an answer waits for its window nothing waits on the connection itself, so that the answers are watched here.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
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
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arrival::Arrivals;
use super::pace::Pace;
use crate::settings::HttpSettings;

/// Requests of one connection at a time, as most servers have it.
const MOST_STREAMS: u32 = 100;
/// Bytes of a body that are kept of a stream and of a connection before somebody reads them.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Bytes that the headers of a request may take, however many frames they come in. More is answered 431.
const LARGEST_HEAD: u32 = 64 << 10;
/// Resets of requests that nobody has looked at yet, and such as were our client's fault, before a connection is ended: opening and
/// taking back costs a client nothing (CVE-2023-44487, CVE-2025-8671).
const MOST_PENDING_RESETS: usize = 20;
const MOST_LOCAL_RESETS: usize = 100;
/// Requests that were given up before their answer, and not made good by as many that were answered.
const MOST_GIVEN_UP: u32 = 100;
/// Whether somebody is still there is asked so often, and waited for as long.
const PING: Duration = Duration::from_secs(20);
/// What is handed over of an answer at once: no more than this lies about for a client that opens no window.
const PIECE: usize = 16 << 10;
/// How often a connection is looked at, and four times in the shortest time that it may take.
const LOOK: Duration = Duration::from_secs(1);

/// How HTTP/2 is served to one connection, whose requests are such tasks.
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

/// The tasks of one connection, each a request. They end with it, and whoever has the tracker can wait for that.
#[derive(Debug, Clone)]
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    pub(super) ended: CancellationToken,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let ended = self.ended.clone();
        self.tracker.spawn(async move {
            ended.run_until_cancelled(task).await;
        });
    }
}

/// What an address has under way, and how much it may have; all of its connections have the same.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pub(super) used: Arc<AtomicUsize>,
    pub(super) most: usize,
}

/// The requests of one connection. Clones have the same.
#[derive(Debug, Clone)]
pub(super) struct Streams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: HttpSettings,
    /// None where many clients lie behind one address.
    budget: Option<Budget>,
    arrivals: Arrivals,
    open: Mutex<Open>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// Until when a client has to take what it was handed of an answer; none while it is waited for by nobody.
    streams: HashMap<u64, Option<Instant>>,
    given_up: u32,
}

/// Why a connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Useless {
    /// It has asked for nothing in a while.
    Idle,
    /// It takes nothing of an answer, or gives up what it asks for.
    Harmful,
}

impl Streams {
    pub(super) fn new(settings: HttpSettings, budget: Option<Budget>, arrivals: Arrivals) -> Self {
        Self(Arc::new(Shared { settings, budget, arrivals, open: Mutex::default(), asked: Notify::new() }))
    }

    /// Begins a request. None where its address has as many under way as it may have.
    pub(super) fn begin(&self) -> Option<Stream> {
        let shared = &self.0;
        if let Some(Budget { used, most }) = &shared.budget
            && used.fetch_add(1, Ordering::Relaxed) >= *most
        {
            used.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut open = self.open();
        open.next += 1;
        let id = open.next;
        open.streams.insert(id, None);
        shared.arrivals.busy();
        shared.asked.notify_one();
        Some(Stream { streams: self.clone(), id, is_answered: false })
    }

    /// Comes back when there was a request.
    pub(super) async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// Comes back when the connection is of no use, with patience for one that has asked for nothing.
    pub(super) async fn useless(&self, patience: Duration) -> Useless {
        let look = LOOK.min(patience / 4).min(self.0.settings.write_timeout / 4);
        loop {
            sleep(look).await;
            let now = Instant::now();
            let open = self.open();
            let is_late = |until: &Option<Instant>| until.is_some_and(|until| until <= now);
            if open.given_up > MOST_GIVEN_UP || open.streams.values().any(is_late) {
                return Useless::Harmful;
            }
            drop(open);
            if self.0.arrivals.idle_since().is_some_and(|since| since + patience <= now) {
                return Useless::Idle;
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, until the last of its answer is handed over.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Streams,
    id: u64,
    is_answered: bool,
}

impl Stream {
    /// Watches how the answer is taken.
    pub(super) fn answering(mut self, body: Body) -> Taken {
        self.is_answered = true;
        let pace = Pace::new(self.streams.0.settings.min_rate);
        Taken { body, rest: Bytes::new(), pace, handed: None, stream: self }
    }

    fn wait(&self, until: Option<Instant>) {
        self.streams.open().streams.insert(self.id, until);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let shared = &self.streams.0;
        if let Some(budget) = &shared.budget {
            budget.used.fetch_sub(1, Ordering::Relaxed);
        }
        let mut open = self.streams.open();
        open.streams.remove(&self.id);
        open.given_up = if self.is_answered { open.given_up.saturating_sub(1) } else { open.given_up + 1 };
        if open.streams.is_empty() {
            shared.arrivals.idle();
        }
    }
}

/// The body of an answer, in pieces, each of which has to be taken in time.
#[derive(Debug)]
pub(super) struct Taken {
    body: Body,
    rest: Bytes,
    pace: Pace,
    /// Since when a piece waits to be taken.
    handed: Option<Instant>,
    stream: Stream,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(since) = this.handed.take() {
            this.pace.waited(since.elapsed());
            this.stream.wait(None);
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
        let now = Instant::now();
        this.handed = Some(now);
        this.stream.wait(Some(now + patience));
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
