//! Measures when the head of each request arrived.
//!
//! hyper calls a service once it has read a whole request head. Only the stream knows how long the
//! request had waited before that. So this module watches the stream and both bodies. The bodies
//! show when no request is in progress on a connection: the bytes that are read after that begin
//! the next request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use hyper::body::{Frame, SizeHint};
use tidegate_perfmon::ReceivedAt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// State of a connection between and during requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// No bytes were read yet. Bytes that are there at the first poll arrived while the connection
    /// waited to be served. They count from the time it was accepted.
    Accepted(Duration),
    /// No request is in progress.
    Idle,
    /// At least a part of a request has arrived, the latest part at this time.
    Begun(Duration),
    /// A request and its response are in progress. Bytes that arrive now belong to the request's
    /// body or to a pipelined request.
    UnderWay { asking: bool, answering: bool },
    /// The rest of a body that the route did not read. This module cannot see where it ends and
    /// where the next request begins.
    Blind,
}

#[derive(Debug)]
struct State {
    turn: Turn,
    /// Number of the current request. A body that outlives its request cannot end another one.
    request: u64,
    blind: bool,
    /// Since when no request is in progress. `None` while one is.
    idle_since: Option<Instant>,
    /// Whether a part of a response waits until the client reads more.
    is_writing: bool,
}

/// The requests of one connection. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct Arrivals(Arc<Mutex<State>>);

impl Arrivals {
    /// Starts with a connection that was accepted at that time.
    pub(super) fn new(accepted: Duration) -> Self {
        Self(Arc::new(Mutex::new(State {
            turn: Turn::Accepted(accepted),
            request: 0,
            blind: false,
            idle_since: Some(Instant::now()),
            is_writing: false,
        })))
    }

    /// Sets the time from which the first request can arrive.
    pub(super) fn opened(&self, at: Duration) {
        let mut state = self.state();
        if let Turn::Accepted(accepted) = &mut state.turn {
            *accepted = at;
        }
    }

    /// Returns since when the connection has no request with a complete head in progress. A client
    /// that is still sending its head counts as idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.idle_since.filter(|_| !state.is_writing)
    }

    /// Records that a request is in progress, possibly beside others.
    pub(super) fn busy(&self) {
        let mut state = self.state();
        state.idle_since = None;
        state.request += 1;
    }

    /// Records that the last request in progress has ended.
    pub(super) fn idle(&self) {
        self.state().idle_since = Some(Instant::now());
    }

    /// Whether a request with a complete head has arrived.
    pub(super) fn has_asked(&self) -> bool {
        self.state().request > 0
    }

    /// Begins a request with a complete head, and returns when it was received. `None` for a
    /// pipelined request, which counts from now.
    pub(super) fn request(&self) -> (Option<ReceivedAt>, Exchange) {
        let mut state = self.state();
        let received = match state.turn {
            Turn::Begun(at) => Some(ReceivedAt(at)),
            _ => None,
        };
        state.turn = Turn::UnderWay { asking: true, answering: true };
        state.idle_since = None;
        state.request += 1;
        state.blind = false;
        (received, Exchange { arrivals: self.clone(), request: state.request })
    }

    fn looked(&self, found: bool, now: impl Fn() -> Duration) {
        let mut state = self.state();
        state.turn = match (state.turn, found) {
            (Turn::Accepted(at), true) => Turn::Begun(at),
            (Turn::Accepted(_), false) => Turn::Idle,
            // The time during which a client sends its head slowly is not the server's.
            (Turn::Idle | Turn::Begun(_), true) => Turn::Begun(now()),
            (turn, _) => turn,
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request and its response.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    arrivals: Arrivals,
    request: u64,
}

/// The two bodies of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Asking,
    Answering,
}

impl Exchange {
    /// Watches the body of the request.
    pub(super) fn asking<B: HttpBody>(&self, body: B) -> ObservedBody<B> {
        self.watch(body, Side::Asking)
    }

    /// Watches the body of the response.
    pub(super) fn answering<B: HttpBody>(&self, body: B) -> ObservedBody<B> {
        self.watch(body, Side::Answering)
    }

    fn watch<B: HttpBody>(&self, body: B, side: Side) -> ObservedBody<B> {
        let mut watched = ObservedBody { body, side, exchange: Some(self.clone()) };
        if side == Side::Asking && watched.body.is_end_stream() {
            watched.ended(true);
        }
        watched
    }

    /// Records the end of one side. `whole` says that no more bytes of it can arrive.
    fn ended(&self, side: Side, whole: bool) {
        let mut state = self.arrivals.state();
        if state.request != self.request {
            return;
        }
        state.blind |= !whole;
        if let Turn::UnderWay { asking, answering } = &mut state.turn {
            match side {
                Side::Asking => *asking = false,
                Side::Answering => *answering = false,
            }
            if !*asking && !*answering {
                state.turn = if state.blind { Turn::Blind } else { Turn::Idle };
                state.idle_since = Some(Instant::now());
            }
        }
    }
}

/// A body that reports when it ends or is dropped.
#[derive(Debug)]
pub(super) struct ObservedBody<B: HttpBody> {
    body: B,
    side: Side,
    /// `None` once the end was reported.
    exchange: Option<Exchange>,
}

impl<B: HttpBody> ObservedBody<B> {
    fn ended(&mut self, whole: bool) {
        if let Some(exchange) = self.exchange.take() {
            exchange.ended(self.side, whole);
        }
    }
}

impl<B: HttpBody + Unpin> HttpBody for ObservedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // hyper still holds the last frame of a response. The frame is written only when hyper
        // drops the body.
        if self.side == Side::Asking && self.body.is_end_stream() {
            self.ended(true);
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

impl<B: HttpBody> Drop for ObservedBody<B> {
    fn drop(&mut self) {
        // A response that breaks off ends its connection too.
        let whole = self.side == Side::Answering || self.body.is_end_stream();
        self.ended(whole);
    }
}

/// A stream whose reads and writes are watched.
#[derive(Debug)]
pub(super) struct Arrival<S, N> {
    stream: S,
    now: N,
    arrivals: Arrivals,
    /// Copy of the flag in `arrivals`, which saves taking the lock.
    is_writing: bool,
}

impl<S, N> Arrival<S, N> {
    pub(super) fn new(stream: S, now: N, arrivals: Arrivals) -> Self {
        Self { stream, now, arrivals, is_writing: false }
    }

    /// Records whether a write is blocked.
    fn wrote<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() != self.is_writing {
            self.is_writing = polled.is_pending();
            self.arrivals.state().is_writing = self.is_writing;
        }
        polled
    }
}

impl<S: AsyncRead + Unpin, N: Fn() -> Duration + Unpin> AsyncRead for Arrival<S, N> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.arrivals.looked(buf.filled().len() > before, &this.now);
        read
    }
}

impl<S: AsyncWrite + Unpin, N: Unpin> AsyncWrite for Arrival<S, N> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.wrote(polled)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // TLS buffers what its client does not read.
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.wrote(polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
