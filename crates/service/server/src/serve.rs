//! HTTP/1.1 and HTTP/2 over TCP or TLS, with a bound on everything that a client could hold on to.
//!
//! `axum::serve` sets no timer, so that a head which never ends keeps its connection for ever; it opens as many
//! connections as come, be they all of one client; it waits for ever for a client that takes nothing of its answer; and it
//! leaves those that outlive a shutdown running. This loop bounds all of that.

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

/// How soon room is looked for again where there was none.
const NEXT_LOOK: Duration = Duration::from_millis(50);
/// How long an idle connection is kept beyond the end for what its client may have sent before it heard of that.
const LAST_CALL: Duration = Duration::from_millis(250);
/// How long a connection of HTTP/2 is kept that has nothing under way, for its client to hear that it ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// How the server treats its clients.
#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// Sizes and times.
    pub bounds: Bounds,
    /// Whose connections aren't counted, since many clients lie behind them.
    pub proxies: TrustedProxies,
    /// How much of an IPv6 address is one client.
    pub ipv6_prefix: Ipv6Prefix,
    /// What TLS is spoken with; none for HTTP in clear.
    pub tls: Option<Arc<Certificates>>,
}

/// What a client may hold on to, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A request's head that takes longer, or an idle connection without a next one, is closed.
    pub header_timeout: Duration,
    /// A client that takes nothing of its answer for so long is cut off.
    pub write_timeout: Duration,
    /// Bytes a second that a request's body has to bring, beyond ten seconds of grace.
    pub min_rate: u64,
    /// Connections open at a time. Beyond it the one that has been idle longest makes room.
    pub max_connections: usize,
    /// Connections of one address, of IPv6 of one prefix; more are closed as they come. Trusted proxies are not counted.
    pub max_connections_per_address: usize,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
}

/// How the server ends: it is told twice.
#[derive(Debug, Clone)]
pub struct Ending {
    /// From here on each answer asks its client to come back on another connection, which a balancer gives to another
    /// process. All are served as before.
    pub announced: CancellationToken,
    /// No more connections. It announces the end too.
    pub stop: CancellationToken,
}

impl Default for Ending {
    fn default() -> Self {
        let stop = CancellationToken::new();
        Self { announced: stop.child_token(), stop }
    }
}

/// Bytes that a request's head may take: more than any proxy lets through, and a third of what hyper would.
const LARGEST_HEAD: usize = 128 << 10;

/// What the system keeps at most of an answer that its client does not take yet; it doubles it. Left to itself it goes up to four
/// mebibytes for each connection, of memory that counts as nobody's.
const SEND_BUFFER: u32 = 128 << 10;

/// Connections that wait to be accepted; the system may allow fewer.
const BACKLOG: u32 = 1_024;

/// Listens at that address, for [`serve`].
///
/// # Errors
///
/// When the system refuses: the address is taken, or not this machine's.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for what the system still remembers of the connections before.
    socket.set_reuseaddr(true)?;
    // Connections have it from whom they came by.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves the router until `stop`, then lets requests in flight end within [`Bounds::drain_timeout`].
///
/// Routes find the client's address as `ConnectInfo<SocketAddr>`, and when a request came in as
/// [`ReceivedAt`] on the clock `now`; of a request that was sent before the one ahead of it was
/// answered that is its turn. Of one with a body they find as [`BodyWait`] how long it was waited for, and of one that
/// came by TLS [`ByTls`].
///
/// When this returns, no connection is left: whoever closes a database afterwards takes it from nobody. Cancelling it
/// cuts all of them off at once.
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
    // Who was admitted while there was no room.
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
            // All were busy, or the one that was asked to leave had just got a request.
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
    // Requests of HTTP/2 are tasks of their own, which end with their connection.
    open.streams.close();
    open.streams.wait().await;
}

/// The connections that are open, and what each is served with.
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
            // Each has tokens of its own, so that connections share no lock while they are busy.
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
    /// None in clear.
    tls: Option<Arc<ServerConfig>>,
    /// What its address may have under way over HTTP/2.
    budget: Option<Budget>,
    tasks: Tasks,
    router: Router,
    /// When the first request has to be there, whatever is spoken before it, a handshake too.
    first_by: Instant,
}

impl<N> Conversation<N>
where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    /// Answers what comes; from `stop` on, only the request that is under way, or on its way.
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
        // The first request came in behind the handshake.
        self.arrivals.opened((self.now)());
        // Apart, so that who speaks in clear doesn't keep room for it.
        match protocol {
            Protocol::Http1 => Box::pin(self.http1(stream, http)).await,
            Protocol::Http2 => Box::pin(self.http2(stream)).await,
        }
    }

    /// Waits for the client's first bytes. Unless they are there at the first look, the time before
    /// them is the client's.
    async fn first_bytes(&self, protocol: impl Future<Output = std::io::Result<Protocol>>) -> Option<Protocol> {
        let mut opening = pin!(self.opens(protocol));
        if let Poll::Ready(found) = poll_fn(|cx| Poll::Ready(opening.as_mut().poll(cx))).await {
            return found;
        }
        let found = opening.await;
        self.arrivals.opened((self.now)());
        found
    }

    /// Waits for what is spoken before a connection's first request; none where that doesn't come, or not in time.
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
                // A request came just now. It is answered, or the next one where that was too late, and that is the end.
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
        // Also where this task is given up.
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
                        // Nothing was done: whoever hears it may ask again.
                        return Err(h2::Error::from(h2::Reason::REFUSED_STREAM));
                    };
                    let mut answer: Response = answer.await.unwrap_or_else(|never| match never {});
                    // Of one connection, of which HTTP/2 tells otherwise.
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
            // Who has not asked yet has only just come, and is answered first.
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
                    tracing::debug!(%peer, "a connection was ended: its client takes back what it asks for, or takes nothing of the answers");
                    return;
                }
            },
            ended = connection.as_mut() => Some(ended),
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                // The client is told by GOAWAY; what it has asked for until it hears that is answered.
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
        // Who was not told yet may have sent a request: it is answered, and that is the end of its connection.
        sleep(LAST_CALL.min(self.settings.drain_timeout)).await;
    }

    /// Comes back where the first request is not there in time.
    async fn is_silent(&self) {
        sleep_until(self.first_by).await;
        if self.arrivals.has_asked() {
            std::future::pending::<()>().await;
        }
    }
}

/// A request as routes find it.
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

/// Waits for requests in flight, but not for ever: a client that never ends its request is cut off.
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
        tracing::error!(%error, "a request panicked, and its connection with it");
    }
}

#[cfg(test)]
mod tests;
