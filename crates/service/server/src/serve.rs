//! Serves HTTP/1.1 and HTTP/2 over TCP or TLS, and bounds everything that a client can hold on to.
//!
//! `axum::serve` waits for ever for a request head and for a client that does not read, limits no
//! connections, not even of one client, and leaves those open that outlive the shutdown.

mod accept;
mod admission;
mod arrival;
mod body_wait;
mod bounds;
mod conversation;
mod descriptors;
mod host;
mod minimum_rate;
mod protocol;
mod streams;
mod tls;
mod write_timeout;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::accept::Acceptor;
pub use self::accept::listen;
use self::admission::{Admission, Ticket};
use self::arrival::Arrivals;
pub use self::bounds::{Bounds, Ending, ServeSettings};
use self::conversation::Conversation;
pub use self::host::{BadHost, one_host};
use self::streams::Tasks;
pub use self::tls::ByTls;
use crate::tls::Certificates;

/// Pause before the next attempt to make room if all connections were busy.
const NEXT_LOOK: Duration = Duration::from_millis(50);

/// Maximum request head in bytes: more than any proxy permits, and a third of hyper's own limit.
const LARGEST_HEAD: usize = 128 << 10;

/// Serves the router until `stop`, then gives requests in flight [`Bounds::drain_timeout`] to end.
///
/// Each request has these extensions:
///
/// - `ConnectInfo<SocketAddr>`: the address of the client.
/// - [`ReceivedAt`](tidegate_perfmon::ReceivedAt): when it arrived, on the clock `now`. If
///   pipelined, when its turn came.
/// - [`BodyWait`](tidegate_perfmon::BodyWait), if the request has a body: how long the server has
///   waited for the body.
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
    let mut door = Acceptor::new(listener);
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
