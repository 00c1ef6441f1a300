use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::settings::RawSettings;

/// Sent to the test when the request that holds it is dropped.
struct Held(Option<oneshot::Sender<()>>);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.take().map(|dropped| dropped.send(()));
    }
}

fn settings(drain_timeout: Duration) -> HttpSettings {
    let defaults = RawSettings::load(None, []).unwrap().check().unwrap();
    HttpSettings { drain_timeout, ..defaults.http }
}

/// A server of that router, and a connection on which it was asked for `/`.
async fn asked(router: Router, drain_timeout: Duration) -> (TcpStream, CancellationToken, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, router, settings(drain_timeout), stop.clone()));
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    (connection, stop, async { serving.await.unwrap() })
}

async fn rest(mut connection: TcpStream) -> String {
    let mut text = String::new();
    // A reset is an end too.
    let _ = connection.read_to_string(&mut text).await;
    text
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
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, gate) = (Arc::clone(&arrived), Arc::clone(&go_on));
    let slow = move || async move {
        here.notify_one();
        gate.notified().await;
        "at last"
    };
    let (connection, stop, served) = asked(Router::new().route("/", get(slow)), Duration::from_secs(600)).await;
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
