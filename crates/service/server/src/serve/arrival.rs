//! When the head of each request was there.
//!
//! hyper calls a service once it has read a request's head; how long the request waited until then, only the stream
//! knows. So the stream is watched, and both bodies, which say when a connection has nothing of a request left in hands:
//! what is read from then on is the next one's first.

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

/// What a connection has in hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing was read yet. What is there at the first look came in while the connection waited to be served, at the latest
    /// when it was accepted.
    Accepted(Duration),
    /// Nothing, whether for a moment or for an hour.
    Idle,
    /// A part of a request, at least, the last of which was read then.
    Begun(Duration),
    /// A request and its answer. What is read meanwhile is its body, or another that will have its turn.
    UnderWay { asking: bool, answering: bool },
    /// The rest of a body that nobody wanted to read: where it ends and a next request begins can't be told from here.
    Blind,
}

#[derive(Debug)]
struct State {
    turn: Turn,
    /// Counts requests, so that a body which outlives its own ends no other.
    request: u64,
    blind: bool,
    /// Since when no request is under way; none while one is.
    idle_since: Option<Instant>,
    /// A piece of an answer waits until its client takes more.
    is_writing: bool,
}

/// The requests of one connection. Clones watch the same.
#[derive(Debug, Clone)]
pub(super) struct Arrivals(Arc<Mutex<State>>);

impl Arrivals {
    /// Of a connection that was accepted then.
    pub(super) fn new(accepted: Duration) -> Self {
        Self(Arc::new(Mutex::new(State {
            turn: Turn::Accepted(accepted),
            request: 0,
            blind: false,
            idle_since: Some(Instant::now()),
            is_writing: false,
        })))
    }

    /// What comes first can be read from then on.
    pub(super) fn opened(&self, at: Duration) {
        let mut state = self.state();
        if let Turn::Accepted(accepted) = &mut state.turn {
            *accepted = at;
        }
    }

    /// Since when the connection has no request in hands whose head is whole. Who dribbles a head idles.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.idle_since.filter(|_| !state.is_writing)
    }

    /// A request is under way, maybe one of several.
    pub(super) fn busy(&self) {
        let mut state = self.state();
        state.idle_since = None;
        state.request += 1;
    }

    /// The last of them has ended.
    pub(super) fn idle(&self) {
        self.state().idle_since = Some(Instant::now());
    }

    /// Whether there was a request whose head is whole.
    pub(super) fn has_asked(&self) -> bool {
        self.state().request > 0
    }

    /// Begins a request whose head is whole, and says when it came in. `None` for one that came before its turn, which is now.
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
            // A client that dribbles its head takes its own time, not ours.
            (Turn::Idle | Turn::Begun(_), true) => Turn::Begun(now()),
            (turn, _) => turn,
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request and its answer.
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
    pub(super) fn asking<B: HttpBody>(&self, body: B) -> Watched<B> {
        self.watch(body, Side::Asking)
    }

    /// Watches the body of the answer.
    pub(super) fn answering<B: HttpBody>(&self, body: B) -> Watched<B> {
        self.watch(body, Side::Answering)
    }

    fn watch<B: HttpBody>(&self, body: B, side: Side) -> Watched<B> {
        let mut watched = Watched { body, side, exchange: Some(self.clone()) };
        if side == Side::Asking && watched.body.is_end_stream() {
            watched.ended(true);
        }
        watched
    }

    /// One side is over. `whole` when nothing of it can still come.
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

/// A body that says when it is over, read or given up.
#[derive(Debug)]
pub(super) struct Watched<B: HttpBody> {
    body: B,
    side: Side,
    /// None once it was said.
    exchange: Option<Exchange>,
}

impl<B: HttpBody> Watched<B> {
    fn ended(&mut self, whole: bool) {
        if let Some(exchange) = self.exchange.take() {
            exchange.ended(self.side, whole);
        }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // Of an answer, hyper still holds its last frame: only when it lets go of the body is that written.
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

impl<B: HttpBody> Drop for Watched<B> {
    fn drop(&mut self) {
        // An answer that breaks off takes its connection with it.
        let whole = self.side == Side::Answering || self.body.is_end_stream();
        self.ended(whole);
    }
}

/// A stream that is watched.
#[derive(Debug)]
pub(super) struct Arrival<S, N> {
    stream: S,
    now: N,
    arrivals: Arrivals,
    /// As the arrivals have it, for who need not ask.
    is_writing: bool,
}

impl<S, N> Arrival<S, N> {
    pub(super) fn new(stream: S, now: N, arrivals: Arrivals) -> Self {
        Self { stream, now, arrivals, is_writing: false }
    }

    /// Tells of a write that waits, and of the next that doesn't.
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
        // TLS keeps for itself what its client doesn't take yet.
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
