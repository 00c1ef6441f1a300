//! One connection, from its first byte to its end.

mod http1;
mod http2;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::server::conn::http1::Builder;
use rustls::ServerConfig;
use tidegate_perfmon::{BodyWait, ReceivedAt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::arrival::Arrivals;
use super::body_wait::WaitedBody;
use super::bounds::{Bounds, Ending};
use super::minimum_rate::PacedBody;
use super::protocol::Protocol;
use super::streams::{Budget, Tasks};
use super::tls::{self, ByTls};
use super::write_timeout::WriteTimeout;

/// How long an idle connection stays open after `stop`, for a request that is already on its way.
const LAST_CALL: Duration = Duration::from_millis(250);

/// One connection.
pub(super) struct Conversation<N> {
    pub(super) arrivals: Arrivals,
    pub(super) now: N,
    pub(super) peer: SocketAddr,
    pub(super) ending: Ending,
    pub(super) leave: Arc<Notify>,
    pub(super) settings: Bounds,
    /// `None` for plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Limit on the HTTP/2 requests that its address may have in flight.
    pub(super) budget: Option<Budget>,
    pub(super) tasks: Tasks,
    pub(super) router: Router,
    /// Deadline of the first request. It includes the TLS handshake.
    pub(super) first_by: Instant,
}

impl<N> Conversation<N>
where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    /// Serves requests. After `stop` it answers only a request that is in flight or already sent.
    pub(super) async fn hold(self, stream: TcpStream, http: Builder) {
        let settings = self.settings;
        let patient = move |stream| WriteTimeout::new(stream, settings.write_timeout, settings.min_rate);
        let Some(tls) = self.tls.clone() else {
            match self.first_bytes(Protocol::of(&stream)).await {
                Some(Protocol::Http1) => self.http1(patient(stream), http).await,
                Some(Protocol::Http2) => self.http2(patient(stream)).await,
                None => {}
            }
            return;
        };
        let Some((stream, protocol)) = Box::pin(self.opens(tls::open(stream, tls, patient))).await else { return };
        // The first request can arrive only after the handshake.
        self.arrivals.opened((self.now)());
        // Boxed, so that plain connections reserve no memory for it.
        match protocol {
            Protocol::Http1 => Box::pin(self.http1(stream, http)).await,
            Protocol::Http2 => Box::pin(self.http2(stream)).await,
        }
    }

    /// Waits for the first bytes. Unless they are there at once, the wait is the client's.
    async fn first_bytes(&self, protocol: impl Future<Output = std::io::Result<Protocol>>) -> Option<Protocol> {
        let mut opening = pin!(self.opens(protocol));
        if let Poll::Ready(found) = poll_fn(|cx| Poll::Ready(opening.as_mut().poll(cx))).await {
            return found;
        }
        let found = opening.await;
        self.arrivals.opened((self.now)());
        found
    }

    /// Waits for what precedes the first request. `None` if it fails or takes too long.
    async fn opens<T>(&self, opening: impl Future<Output = std::io::Result<T>>) -> Option<T> {
        let opened = tokio::select! {
            () = self.leave.notified() => return None,
            () = sleep_until(self.first_by) => return None,
            () = self.is_over() => return None,
            opened = opening => opened,
        };
        opened.inspect_err(|error| tracing::debug!(peer = %self.peer, %error, "a connection ended early")).ok()
    }

    pub(super) fn by_tls(&self) -> Option<ByTls> {
        self.tls.is_some().then_some(ByTls)
    }

    pub(super) async fn is_over(&self) {
        self.ending.stop.cancelled().await;
        // A request that the client has sent meanwhile is answered. Then its connection ends.
        sleep(LAST_CALL.min(self.settings.drain_timeout)).await;
    }

    /// Returns if the first request has not arrived in time.
    pub(super) async fn is_silent(&self) {
        sleep_until(self.first_by).await;
        if self.arrivals.has_asked() {
            std::future::pending::<()>().await;
        }
    }
}

/// Prepares a request for the routes.
pub(super) fn prepared<B, N>(
    request: Request<B>,
    peer: SocketAddr,
    by_tls: Option<ByTls>,
    min_rate: u64,
    now: &N,
    received: Option<ReceivedAt>,
) -> Request<PacedBody<WaitedBody<B, N>>>
where
    B: HttpBody,
    N: Fn() -> Duration + Clone,
{
    let mut request = request.map(|body| WaitedBody::new(body, || now.clone()));
    let wait: Option<BodyWait> = request.body().wait();
    if let Some(wait) = wait {
        request.extensions_mut().insert(wait);
    }
    let mut request = request.map(|body| PacedBody::new(body, min_rate));
    request.extensions_mut().insert(ConnectInfo(peer));
    if let Some(by_tls) = by_tls {
        request.extensions_mut().insert(by_tls);
    }
    request.extensions_mut().insert(received.unwrap_or_else(|| ReceivedAt(now())));
    request
}
