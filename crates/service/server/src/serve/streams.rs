//! What a client may hold on to over HTTP/2, where one connection is many requests.
//!
//! hyper has no timer for any of it: a client that settles nothing, asks for nothing, or opens no window for an answer would be kept
//! for ever. While an answer waits for its window nothing waits on the connection itself, so that the answers are watched here. One that
//! nobody takes is reset alone: behind a proxy the others of its connection are other clients'.

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

use super::Bounds;
use super::arrival::Arrivals;
use super::pace::Pace;

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

task_local! {
    /// Ends the task that it is asked in, and so resets its request: hyper has no other way to do that to one alone.
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
    settings: Bounds,
    /// None where many clients lie behind one address.
    budget: Option<Budget>,
    arrivals: Arrivals,
    open: Mutex<Open>,
    asked: Notify,
    /// Nothing more is begun.
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    streams: HashMap<u64, Taking>,
    given_up: u32,
}

/// What a client has of an answer.
#[derive(Debug)]
enum Taking {
    /// All that it was handed.
    All,
    /// All but a piece which it has to take by then. Else its request is reset.
    Piece { by: Instant, reset: CancellationToken },
    /// It was reset.
    Late,
}

/// Why a connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Useless {
    /// It has asked for nothing in a while.
    Idle,
    /// It gives up what it asks for, or takes nothing of it.
    Harmful,
}

impl Streams {
    pub(super) fn new(settings: Bounds, budget: Option<Budget>, arrivals: Arrivals) -> Self {
        let (open, asked, is_closed) = (Mutex::default(), Notify::new(), AtomicBool::new(false));
        Self(Arc::new(Shared { settings, budget, arrivals, open, asked, is_closed }))
    }

    /// Begins a request. None where its address has as many under way as it may have, and behind the end.
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

    /// Comes back when nothing is under way any more, once the client was told that the connection ends. What it asks for later than
    /// `patience` after that is refused: hyper takes it until the client answers a ping, which it may never do.
    pub(super) async fn farewell(&self, patience: Duration) {
        // Who is idle now may ask until then, and is answered.
        let harmful = async { while self.useless(patience).await == Useless::Idle {} };
        tokio::select! {
            () = sleep(patience) => self.0.is_closed.store(true, Ordering::Relaxed),
            () = harmful => return,
        }
        self.useless(patience).await;
    }

    /// Comes back when there was a request.
    pub(super) async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// Resets requests whose answers nobody takes. Comes back when the connection is of no use, with patience for one that has asked
    /// for nothing.
    pub(super) async fn useless(&self, patience: Duration) -> Useless {
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
        // Nobody asks for the first piece before there is a window for it.
        let handed = Some(self.hand(self.streams.0.settings.write_timeout));
        Taken { body, rest: Bytes::new(), pace, handed, stream: self }
    }

    /// From now on, which it returns, the client has to take what it was handed.
    fn hand(&self, patience: Duration) -> Instant {
        let now = Instant::now();
        // Answers are taken by the tasks of this module alone: without one there is nothing to reset.
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

/// The body of an answer, in pieces, each of which has to be taken in time.
#[derive(Debug)]
pub(super) struct Taken {
    body: Body,
    rest: Bytes,
    pace: Pace,
    /// Since when a piece waits to be taken, or the first one to be asked for.
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
