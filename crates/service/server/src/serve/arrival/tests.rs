use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// A clock that the test sets.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn set(&self, secs: u64) {
        self.0.store(secs, Ordering::Relaxed);
    }

    fn clock(&self) -> impl Fn() -> Duration + Clone + Unpin + use<> {
        let hand = self.clone();
        move || Duration::from_secs(hand.0.load(Ordering::Relaxed))
    }
}

fn at(secs: u64) -> Option<ReceivedAt> {
    Some(ReceivedAt(Duration::from_secs(secs)))
}

/// A connection that was accepted when the clock showed 1.
fn accepted()
-> (Hand, tokio::io::DuplexStream, Arrival<tokio::io::DuplexStream, impl Fn() -> Duration + Unpin>, Arrivals) {
    let hand = Hand::default();
    hand.set(1);
    let (client, server) = duplex(64);
    let arrivals = Arrivals::new(hand.clock()());
    (hand.clone(), client, Arrival::new(server, hand.clock(), arrivals.clone()), arrivals)
}

/// Polls once for bytes.
async fn look<S: AsyncRead + Unpin>(stream: &mut S) -> usize {
    let mut bytes = [0; 64];
    tokio::select! {
        biased;
        read = stream.read(&mut bytes) => read.unwrap(),
        () = std::future::ready(()) => 0,
    }
}

#[tokio::test]
async fn time_in_the_accept_queue_counts() {
    let (hand, mut client, mut server, arrivals) = accepted();
    client.write_all(b"first").await.unwrap();
    hand.set(5);
    assert_eq!(look(&mut server).await, 5);
    hand.set(9);
    assert_eq!(arrivals.request().0, at(1), "it was there before the first poll");
}

#[tokio::test]
async fn a_head_that_dribbles_counts_from_its_end() {
    let (hand, mut client, mut server, arrivals) = accepted();
    for secs in 2..=9 {
        hand.set(secs);
        client.write_all(b"a").await.unwrap();
        assert_eq!(look(&mut server).await, 1);
    }
    hand.set(10);
    assert_eq!(arrivals.request().0, at(9));
}

#[tokio::test]
async fn a_connection_that_was_opened_ahead_is_not_slow() {
    let (hand, mut client, mut server, arrivals) = accepted();
    assert_eq!(look(&mut server).await, 0);
    hand.set(3_600);
    client.write_all(b"first").await.unwrap();
    assert_eq!(look(&mut server).await, 5);
    assert_eq!(arrivals.request().0, at(3_600));
}

#[tokio::test]
async fn what_is_read_during_a_request_is_not_the_next_ones_first() {
    let (hand, mut client, mut server, arrivals) = accepted();
    client.write_all(b"head").await.unwrap();
    look(&mut server).await;
    let (received, exchange) = arrivals.request();
    assert_eq!(received, at(1));
    let (asking, answering) = (exchange.asking(Body::empty()), exchange.answering(Body::from("answer")));
    hand.set(2);
    client.write_all(b"next").await.unwrap();
    assert_eq!(look(&mut server).await, 4);
    drop((asking, answering));
    let (received, exchange) = arrivals.request();
    assert_eq!(received, None, "it begins with its turn");

    // After both have ended, the time of the next request begins with its bytes.
    drop((exchange.asking(Body::empty()), exchange.answering(Body::empty())));
    hand.set(40);
    client.write_all(b"third").await.unwrap();
    assert_eq!(look(&mut server).await, 5);
    assert_eq!(arrivals.request().0, at(40));
}

#[tokio::test]
async fn what_is_left_of_a_body_is_no_next_request() {
    let (hand, mut client, mut server, arrivals) = accepted();
    client.write_all(b"head").await.unwrap();
    look(&mut server).await;
    let exchange = arrivals.request().1;
    let asking = exchange.asking(Body::from("a body that is not read"));
    drop((asking, exchange.answering(Body::empty())));
    hand.set(2);
    client.write_all(b"the rest").await.unwrap();
    assert_eq!(look(&mut server).await, 8);
    hand.set(3_600);
    let (received, exchange) = arrivals.request();
    assert_eq!(received, None, "its first byte is not known");

    // The arrival of the request after that is known again.
    drop((exchange.asking(Body::empty()), exchange.answering(Body::empty())));
    client.write_all(b"next").await.unwrap();
    assert_eq!(look(&mut server).await, 4);
    assert_eq!(arrivals.request().0, at(3_600));
}

#[tokio::test]
async fn a_body_that_outlives_its_request_ends_no_other() {
    let (_, _client, _server, arrivals) = accepted();
    let first = arrivals.request().1;
    let kept = first.answering(Body::empty());
    let second = arrivals.request().1;
    drop(second.asking(Body::empty()));
    drop(kept);
    assert_eq!(arrivals.state().turn, Turn::UnderWay { asking: false, answering: true });
}
