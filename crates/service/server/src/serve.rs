//! Serves HTTP/1.1 and HTTP/2 over TCP or TLS, and bounds everything that a client can hold on to.
//!
//! `axum::serve` waits for ever for a request head and for a client that does not read, limits no
//! connections, not even of one client, and leaves those open that outlive the shutdown.

mod accept;
mod admission;
mod arrival;
mod body_wait;
mod descriptors;
mod host;
mod pace;
mod patient;
mod protocol;
mod streams;
mod tls;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, STRICT_TRANSPORT_SECURITY};
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tidegate_perfmon::{BodyWait, ReceivedAt};
use tidegate_ratelimit::{Ipv6Prefix, TrustedProxies};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use self::accept::Door;
use self::admission::{Admission, Ticket};
use self::arrival::{Arrival, Arrivals};
use self::body_wait::Awaited;
pub use self::host::{BadHost, one_host};
use self::pace::Paced;
use self::patient::Patient;
use self::protocol::Protocol;
use self::streams::{Budget, Streams, Tasks, Useless};
pub use self::tls::ByTls;
use crate::tls::Certificates;

/// Pause before the next attempt to make room if all connections were busy.
const NEXT_LOOK: Duration = Duration::from_millis(50);
/// How long an idle connection stays open after `stop`, for a request that is already on its way.
const LAST_CALL: Duration = Duration::from_millis(250);
/// How long an idle HTTP/2 connection stays open for its client to see GOAWAY.
const FAREWELL: Duration = Duration::from_secs(1);

/// Settings of the server.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// Sizes and durations.
    pub bounds: Bounds,
    /// Proxies whose connections are not counted, because many clients share them.
    pub proxies: TrustedProxies,
    /// Length of the IPv6 prefix that counts as one client.
    pub ipv6_prefix: Ipv6Prefix,
    /// Certificates for TLS. `None` for plain HTTP.
    pub tls: Option<Arc<Certificates>>,
}

/// Bounds on what a client can hold on to, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Maximum time for a request head to arrive, and between two requests of a connection.
    pub header_timeout: Duration,
    /// How long a client may read nothing of its response before its connection is cut off.
    pub write_timeout: Duration,
    /// Minimum rate of a request body in bytes per second, after ten seconds of grace.
    pub min_rate: u64,
    /// Maximum number of open connections. Beyond it, the longest idle one makes room.
    pub max_connections: usize,
    /// Maximum connections per address or IPv6 prefix, except trusted proxies. More are closed.
    pub max_connections_per_address: usize,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
}

/// The two steps of a graceful shutdown.
#[derive(Debug, Clone)]
pub struct Ending {
    /// From now on each response asks its client to reconnect. A load balancer sends the new
    /// connection to another process. All requests are still served.
    pub announced: CancellationToken,
    /// Accepts no more connections. Cancelling it also cancels `announced`.
    pub stop: CancellationToken,
}

impl Default for Ending {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { announced: stop.child_token(), stop }
    }
}

/// Maximum request head in bytes: more than any proxy permits, and a third of hyper's own limit.
const LARGEST_HEAD: usize = 128 << 10;

/// Size of a connection's send buffer, which the kernel doubles. Without it, the buffer could grow
/// to 4 MiB per connection, which is not counted as memory of the process.
const SEND_BUFFER: u32 = 128 << 10;

/// Connections that wait to be accepted. The kernel may allow fewer.
const BACKLOG: u32 = 1_024;

/// Listens at `address`, for [`serve`].
///
/// # Errors
///
/// If the kernel refuses, for example because the address is in use or is not this machine's.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Otherwise a restart would wait until the kernel has forgotten the old connections.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it from the listener.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves the router until `stop`, then gives requests in flight [`Bounds::drain_timeout`] to end.
///
/// Each request has these extensions:
///
/// - `ConnectInfo<SocketAddr>`: the address of the client.
/// - [`ReceivedAt`]: when it arrived, on the clock `now`. If pipelined, when its turn came.
/// - [`BodyWait`], if the request has a body: how long the server has waited for the body.
/// - [`ByTls`], if the request came over TLS.
///
/// No connection is open when this function returns, so that the caller can close a database that
/// requests use. Cancelling it cuts off all connections at once.
pub async fn serve<N>(listener: TcpListener, router: Router, settings: ServeSettings, ending: Ending, now: N)
where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(settings.bounds.header_timeout).max_buf_size(LARGEST_HEAD);
    let most = descriptors::room_for(settings.bounds.max_connections);
    let mut door = Door::new(listener);
    let mut open = Open {
        admission: Admission::new(&settings),
        connections: JoinSet::new(),
        streams: TaskTracker::new(),
        http,
        router,
        settings: settings.bounds,
        tls: settings.tls,
        ending,
        now,
    };
    // A connection that was admitted while there was no room.
    let mut next = None;
    let stop = open.ending.stop.clone();
    loop {
        let is_full = open.connections.len() >= most;
        if !is_full && let Some((stream, peer, ticket)) = next.take() {
            open.spawn(stream, peer, ticket);
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = open.connections.join_next_with_id() => open.ended(ended),
            arrived = door.next(), if next.is_none() => {
                let Some((stream, peer)) = arrived else {
                    open.admission.make_room();
                    continue;
                };
                if let Some(ticket) = open.admission.admit(peer) {
                    next = Some((stream, peer, ticket));
                    if is_full {
                        open.admission.make_room();
                    }
                }
            }
            // All were busy, or the one that was asked to leave had just received a request.
            () = sleep(NEXT_LOOK), if next.is_some() => {
                open.admission.make_room();
            }
        }
    }
    if let Some((stream, peer, ticket)) = next {
        open.spawn(stream, peer, ticket);
    }
    for (stream, peer) in door.close() {
        if let Some(ticket) = open.admission.admit(peer) {
            open.spawn(stream, peer, ticket);
        }
    }
    drain(open.connections, settings.bounds.drain_timeout).await;
    // Each HTTP/2 request is a task of its own, which ends with its connection.
    open.streams.close();
    open.streams.wait().await;
}

/// The open connections, and what they are served with.
struct Open<N> {
    admission: Admission,
    connections: JoinSet<()>,
    streams: TaskTracker,
    http: http1::Builder,
    router: Router,
    settings: Bounds,
    tls: Option<Arc<Certificates>>,
    ending: Ending,
    now: N,
}

impl<N> Open<N>
where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    fn spawn(&mut self, stream: TcpStream, peer: SocketAddr, ticket: Ticket) {
        let arrivals = Arrivals::new((self.now)());
        let leave = Arc::new(Notify::new());
        let conversation = Conversation {
            arrivals: arrivals.clone(),
            now: self.now.clone(),
            peer,
            // Tokens of its own, so that busy connections share no lock.
            ending: Ending { announced: self.ending.announced.child_token(), stop: self.ending.stop.child_token() },
            leave: Arc::clone(&leave),
            settings: self.settings,
            tls: self.tls.as_ref().map(|certificates| certificates.config()),
            budget: self.admission.budget(&ticket),
            tasks: Tasks { tracker: self.streams.clone(), ended: CancellationToken::new() },
            router: self.router.clone(),
            first_by: Instant::now() + self.settings.header_timeout,
        };
        let task = self.connections.spawn(conversation.hold(stream, self.http.clone()));
        self.admission.served(task.id(), ticket, arrivals, leave);
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        self.admission.gone(id);
        report(ended.map(|_| ()));
    }
}

/// One connection.
struct Conversation<N> {
    arrivals: Arrivals,
    now: N,
    peer: SocketAddr,
    ending: Ending,
    leave: Arc<Notify>,
    settings: Bounds,
    /// `None` for plain HTTP.
    tls: Option<Arc<ServerConfig>>,
    /// Limit on the HTTP/2 requests that its address may have in flight.
    budget: Option<Budget>,
    tasks: Tasks,
    router: Router,
    /// Deadline of the first request. It includes the TLS handshake.
    first_by: Instant,
}

impl<N> Conversation<N>
where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    /// Serves requests. After `stop` it answers only a request that is in flight or already sent.
    async fn hold(self, stream: TcpStream, http: http1::Builder) {
        let settings = self.settings;
        let patient = move |stream| Patient::new(stream, settings.write_timeout, settings.min_rate);
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

    async fn http1<S>(self, stream: S, http: http1::Builder)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let by_tls = self.by_tls();
        let Self { arrivals, now, peer, ending, leave, settings, router, .. } = &self;
        let stream = Arrival::new(stream, now.clone(), arrivals.clone());
        let announced = &ending.announced;
        let service = service_fn(|request: Request<Incoming>| {
            let (received, exchange) = arrivals.request();
            let request = request.map(|body| exchange.asking(body));
            let request = prepared(request, *peer, by_tls, settings.min_rate, now, received);
            let answer = router.clone().call(request);
            async move {
                let mut answer: Response = answer.await.unwrap_or_else(|never| match never {});
                if by_tls.is_some() {
                    answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, tls::STRICT);
                }
                if announced.is_cancelled() {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer.map(|body| exchange.answering(body)))
            }
        });
        let must_leave = async {
            loop {
                leave.notified().await;
                if arrivals.idle_since().is_some() {
                    break;
                }
                // A request has just arrived. Its response, or the next one, closes the connection.
                announced.cancel();
            }
        };
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            () = must_leave => return,
            () = self.is_silent() => return,
            () = self.is_over() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            ended = connection.as_mut() => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }

    async fn http2<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let by_tls = self.by_tls();
        let Self { arrivals, now, peer, ending, leave, settings, router, .. } = &self;
        // Runs also if this task is cancelled.
        let _ended = self.tasks.ended.clone().drop_guard();
        let streams = Streams::new(*settings, self.budget.clone(), arrivals.clone());
        let service = {
            let (streams, now, router) = (streams.clone(), now.clone(), router.clone());
            let (peer, min_rate) = (*peer, settings.min_rate);
            service_fn(move |request: Request<Incoming>| {
                let stream = streams.begin();
                let answer = stream.is_some().then(|| {
                    let received = Some(ReceivedAt(now()));
                    router.clone().call(prepared(request, peer, by_tls, min_rate, &now, received))
                });
                async move {
                    let Some((stream, answer)) = stream.zip(answer) else {
                        // The request was not processed, so the client may safely retry it.
                        return Err(h2::Error::from(h2::Reason::REFUSED_STREAM));
                    };
                    let mut answer: Response = answer.await.unwrap_or_else(|never| match never {});
                    // The header is for one connection, and HTTP/2 has GOAWAY for that.
                    answer.headers_mut().remove(CONNECTION);
                    if by_tls.is_some() {
                        answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, tls::STRICT);
                    }
                    Ok(answer.map(|body| stream.answering(body)))
                }
            })
        };
        let is_announced = async {
            ending.announced.cancelled().await;
            // A client without a request has only just connected. Its first request is answered.
            streams.asked().await;
        };
        let http = streams::builder(self.tasks.clone());
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            () = leave.notified() => None,
            () = is_announced => None,
            () = self.is_silent() => None,
            () = self.is_over() => None,
            useless = streams.useless(settings.header_timeout) => match useless {
                Useless::Idle => None,
                Useless::Harmful => {
                    tracing::debug!(%peer, "a connection was closed: its client resets its requests, or does not read the responses");
                    return;
                }
            },
            ended = connection.as_mut() => Some(ended),
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                // Requests that the client sends before it sees GOAWAY are answered.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    () = streams.farewell(FAREWELL) => return,
                    ended = connection.as_mut() => ended,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }

    fn by_tls(&self) -> Option<ByTls> {
        self.tls.is_some().then_some(ByTls)
    }

    async fn is_over(&self) {
        self.ending.stop.cancelled().await;
        // A request that the client has sent meanwhile is answered. Then its connection ends.
        sleep(LAST_CALL.min(self.settings.drain_timeout)).await;
    }

    /// Returns if the first request has not arrived in time.
    async fn is_silent(&self) {
        sleep_until(self.first_by).await;
        if self.arrivals.has_asked() {
            std::future::pending::<()>().await;
        }
    }
}

/// Prepares a request for the routes.
fn prepared<B, N>(
    request: Request<B>,
    peer: SocketAddr,
    by_tls: Option<ByTls>,
    min_rate: u64,
    now: &N,
    received: Option<ReceivedAt>,
) -> Request<Paced<Awaited<B, N>>>
where
    B: HttpBody,
    N: Fn() -> Duration + Clone,
{
    let mut request = request.map(|body| Awaited::new(body, || now.clone()));
    let wait: Option<BodyWait> = request.body().wait();
    if let Some(wait) = wait {
        request.extensions_mut().insert(wait);
    }
    let mut request = request.map(|body| Paced::new(body, min_rate));
    request.extensions_mut().insert(ConnectInfo(peer));
    if let Some(by_tls) = by_tls {
        request.extensions_mut().insert(by_tls);
    }
    request.extensions_mut().insert(received.unwrap_or_else(|| ReceivedAt(now())));
    request
}

/// Waits for requests in flight. After `patience` it cuts the rest off, such as endless requests.
async fn drain(mut connections: JoinSet<()>, patience: Duration) {
    let all_end = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(patience, all_end).await.is_err() {
        tracing::warn!("{} connections were cut off after {} s", connections.len(), patience.as_secs_f64());
        connections.shutdown().await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request panicked, which closed its connection");
    }
}

#[cfg(test)]
mod tests;
