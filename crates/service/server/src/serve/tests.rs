mod http2;
mod tls;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::StreamExt;
use tidegate_perfmon::{BodyWait, ReceivedAt};
use tidegate_ratelimit::{Ipv6Prefix, TrustedProxies};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};

use super::*;

/// Notifies the test when the request that holds it is dropped.
struct Held(Option<oneshot::Sender<()>>);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.take().map(|dropped| dropped.send(()));
    }
}

/// Without TLS and without proxies.
pub(super) fn settings(drain_timeout: Duration) -> ServeSettings {
    let bounds = Bounds {
        header_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(30),
        min_rate: 512,
        max_connections: 10_000,
        max_connections_per_address: 512,
        drain_timeout,
    };
    ServeSettings { bounds, proxies: TrustedProxies::default(), ipv6_prefix: Ipv6Prefix::default(), tls: None }
}

/// Starts a server with that router, and a connection with a request for `/`.
async fn asked(router: Router, drain_timeout: Duration) -> (TcpStream, CancellationToken, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ending = Ending::default();
    let stop = ending.stop.clone();
    let serving = tokio::spawn(serve(listener, router, settings(drain_timeout), ending, || Duration::ZERO));
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    (connection, stop, async { serving.await.unwrap() })
}

async fn rest(mut connection: TcpStream) -> String {
    let mut text = String::new();
    // A reset counts as the end too.
    let _ = connection.read_to_string(&mut text).await;
    text
}

/// A route that notifies the test of a request, and responds when the test permits it.
fn slow() -> (Arc<Notify>, Arc<Notify>, Router) {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, gate) = (Arc::clone(&arrived), Arc::clone(&go_on));
    let slow = move || async move {
        here.notify_one();
        gate.notified().await;
        "at last"
    };
    (arrived, go_on, Router::new().route("/", get(slow)))
}

#[tokio::test]
async fn a_route_knows_who_asks() {
    let echo = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() };
    let (connection, stop, served) = asked(Router::new().route("/", get(echo)), Duration::from_secs(600)).await;
    let own = connection.local_addr().unwrap().to_string();
    connection.readable().await.unwrap();
    stop.cancel();
    served.await;
    assert!(rest(connection).await.ends_with(&own));
}

#[tokio::test]
async fn a_request_in_flight_is_answered_after_stop() {
    let (arrived, go_on, router) = slow();
    let (connection, stop, served) = asked(router, Duration::from_secs(600)).await;
    arrived.notified().await;
    stop.cancel();
    go_on.notify_one();
    served.await;
    let answer = rest(connection).await;
    assert!(answer.ends_with("at last") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn when_it_returns_no_request_runs_any_more() {
    let (dropped, mut is_dropped) = oneshot::channel();
    let arrived = Arc::new(Notify::new());
    let here = Arc::clone(&arrived);
    let held = Arc::new(std::sync::Mutex::new(Some(Held(Some(dropped)))));
    let endless = move || async move {
        let _held = held.lock().unwrap().take();
        here.notify_one();
        std::future::pending::<()>().await;
    };
    let (connection, stop, served) = asked(Router::new().route("/", get(endless)), Duration::from_millis(20)).await;
    arrived.notified().await;
    assert!(is_dropped.try_recv().is_err(), "it runs");
    stop.cancel();
    served.await;
    assert_eq!(is_dropped.try_recv(), Ok(()), "it was dropped before the server returned");
    assert_eq!(rest(connection).await, "");
}

/// A server whose clock the test sets. It returns to each request the time at which it was
/// received.
struct Timed {
    clock: Arc<AtomicU64>,
    gate: Arc<Notify>,
    arrived: Arc<Notify>,
    connection: TcpStream,
}

/// A clock in seconds that counts how often it is read.
#[derive(Clone, Default)]
struct Clock {
    seconds: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
}

impl Clock {
    fn now(&self) -> impl Fn() -> Duration + Clone + Send + Sync + Unpin + use<> {
        let Self { seconds, reads } = self.clone();
        move || {
            reads.fetch_add(1, Ordering::SeqCst);
            Duration::from_secs(seconds.load(Ordering::SeqCst))
        }
    }

    /// Waits until the server has accepted a connection and waits for its first bytes, then sets
    /// the time.
    async fn set_after_accept(&self, seconds: u64) {
        let was_read = async || (self.reads.load(Ordering::SeqCst) > 0).then_some(());
        tidegate_testkit::poll_until(Duration::from_secs(60), was_read).await.unwrap();
        // The connection's task was spawned when the clock was read, so it runs before this one
        // continues.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.seconds.store(seconds, Ordering::SeqCst);
    }
}

/// A route that responds with the time at which its request was received, in seconds.
fn received_at() -> Router {
    Router::new()
        .route("/", get(|Extension(ReceivedAt(at)): Extension<ReceivedAt>| async move { at.as_secs().to_string() }))
}

impl Timed {
    async fn start() -> Self {
        let (clock, gate, arrived) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let told = |received: Option<Extension<ReceivedAt>>| async move {
            received.map_or_else(|| "none".to_owned(), |Extension(ReceivedAt(at))| at.as_secs().to_string())
        };
        let (here, go_on) = (Arc::clone(&arrived), Arc::clone(&gate));
        let held = move || async move {
            here.notify_one();
            go_on.notified().await;
            "held"
        };
        let here = Arc::clone(&arrived);
        let read = move |wait: Option<Extension<BodyWait>>, body: Body| async move {
            let mut pieces = body.into_data_stream();
            // Reports each wait for a piece, so that the test sends the next piece only then.
            while let Some(piece) = poll_fn(|cx| {
                let piece = pieces.poll_next_unpin(cx);
                if piece.is_pending() {
                    here.notify_one();
                }
                piece
            })
            .await
            {
                piece.unwrap();
            }
            wait.map_or_else(|| "none".to_owned(), |Extension(wait)| wait.until(Duration::MAX).as_secs().to_string())
        };
        let router = Router::new().route("/", get(told)).route("/held", get(held)).route("/read", post(read));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hand = Arc::clone(&clock);
        let now = move || Duration::from_secs(hand.load(Ordering::SeqCst));
        tokio::spawn(serve(listener, router, settings(Duration::ZERO), Ending::default(), now));
        let connection = TcpStream::connect(address).await.unwrap();
        Self { clock, gate, arrived, connection }
    }

    async fn send(&mut self, paths: &[&str]) {
        let request = |path: &&str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let requests: String = paths.iter().map(request).collect();
        self.connection.write_all(requests.as_bytes()).await.unwrap();
    }

    /// Returns the body of the next response, which has that length.
    async fn answer(&mut self, length: usize) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(self.connection.read_u8().await.unwrap());
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body).await.unwrap();
        String::from_utf8(body).unwrap()
    }
}

#[tokio::test]
async fn an_idle_connection_is_not_slow() {
    let mut timed = Timed::start().await;
    timed.send(&["/"]).await;
    assert_eq!(timed.answer(1).await, "0");
    for later in ["3600", "7200"] {
        timed.clock.store(later.parse().unwrap(), Ordering::SeqCst);
        timed.send(&["/"]).await;
        assert_eq!(timed.answer(4).await, later);
    }
}

#[tokio::test]
async fn a_connection_that_waits_before_its_first_request_is_not_slow() {
    let clock = Clock::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, received_at(), settings(Duration::ZERO), Ending::default(), clock.now()));
    let mut connection = TcpStream::connect(address).await.unwrap();
    for later in [30, 60] {
        clock.set_after_accept(later).await;
        connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(format!("\r\n\r\n{later}").as_bytes()) {
            answer.push(connection.read_u8().await.unwrap());
            assert!(answer.len() < 1_000, "{}", String::from_utf8_lossy(&answer));
        }
    }
}

#[tokio::test]
async fn a_body_that_comes_late_was_waited_for() {
    let mut timed = Timed::start().await;
    let head = |length: usize| format!("POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    timed.connection.write_all(head(0).as_bytes()).await.unwrap();
    assert_eq!(timed.answer(4).await, "none", "there is nothing to wait for");
    timed.connection.write_all(head(2).as_bytes()).await.unwrap();
    for later in [30, 50] {
        timed.arrived.notified().await;
        timed.clock.store(later, Ordering::SeqCst);
        timed.connection.write_all(b"x").await.unwrap();
    }
    assert_eq!(timed.answer(2).await, "50");
}

#[tokio::test]
async fn a_pipelined_request_counts_from_its_turn() {
    let mut timed = Timed::start().await;
    timed.send(&["/held", "/"]).await;
    timed.arrived.notified().await;
    timed.clock.store(30, Ordering::SeqCst);
    timed.gate.notify_one();
    assert_eq!(timed.answer(4).await, "held");
    assert_eq!(timed.answer(2).await, "30", "nothing of it is counted before its turn");
    timed.clock.store(60, Ordering::SeqCst);
    timed.send(&["/"]).await;
    assert_eq!(timed.answer(2).await, "60");
}
