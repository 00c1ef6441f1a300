//! HTTP/1.1 over TCP, with a bound on everything that a client could hold on to.
//!
//! `axum::serve` sets no timer, so that a head which never ends keeps its connection for ever; it opens as many
//! connections as come; it waits for ever for a client that takes nothing of its answer; and it leaves those that outlive a
//! shutdown running. This loop bounds all four.

mod accept;
mod arrival;
mod body_wait;
mod patient;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tidegate_perfmon::{BodyWait, ReceivedAt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use self::arrival::{Arrival, Arrivals};
use self::body_wait::Awaited;
use self::patient::Patient;
use crate::settings::HttpSettings;

/// Serves the router until `stop`, then lets requests in flight end within [`HttpSettings::drain_timeout`].
///
/// Routes find the client's address as `ConnectInfo<SocketAddr>`, and when a request came in as
/// [`ReceivedAt`] on the clock `now`; of a request that was sent before the one ahead of it was
/// answered that is its turn. Of one with a body they find as [`BodyWait`] how long it was waited for.
///
/// When this returns, no connection is left: whoever closes a database afterwards takes it from nobody. Cancelling it
/// cuts all of them off at once.
pub async fn serve<N>(listener: TcpListener, router: Router, settings: HttpSettings, stop: CancellationToken, now: N)
where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            // At the cap nothing is accepted: those who come wait in the system's queue, and are refused behind it.
            (stream, peer) = accept::next(&listener), if connections.len() < settings.max_connections => {
                let arrivals = Arrivals::new(now());
                let stream = Arrival::new(Patient::new(stream), now.clone(), arrivals.clone());
                // Each has a token of its own, so that connections share no lock while they are busy.
                let now = now.clone();
                connections.spawn(converse(http.clone(), stream, arrivals, now, peer, router.clone(), stop.child_token()));
            }
        }
    }
    drop(listener);
    drain(connections, settings.drain_timeout).await;
}

/// Answers what comes on one connection; from `stop` on, only the request that is under way.
async fn converse<N>(
    http: http1::Builder,
    stream: Arrival<Patient<TcpStream>, N>,
    arrivals: Arrivals,
    now: N,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) where
    N: Fn() -> Duration + Clone + Send + Sync + Unpin + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (received, exchange) = arrivals.request();
        let mut request = request.map(|body| Awaited::new(exchange.asking(body), || now.clone()));
        let wait: Option<BodyWait> = request.body().wait();
        if let Some(wait) = wait {
            request.extensions_mut().insert(wait);
        }
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(received.unwrap_or_else(|| ReceivedAt(now())));
        let answer = router.clone().call(request);
        async move {
            let answer: Response = answer.await.unwrap_or_else(|never| match never {});
            Ok::<_, Infallible>(answer.map(|body| exchange.answering(body)))
        }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        // First, so that the last answer tells the client not to send another request.
        biased;
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        ended = connection.as_mut() => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
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
