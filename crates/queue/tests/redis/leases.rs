//! Expired leases are found in steps.

use std::time::Duration;

use crate::calls;
use crate::support::{Bench, LEASE, QUEUE, jobs};
use tidegate_queue::{EnqueueOptions, Fetch};
use tidegate_testkit::redis::RedisServer;

/// More leases than one step checks: each is checked once, then not before the next one expires.
#[tokio::test]
async fn many_leases_are_checked_in_steps_and_then_left_alone() {
    const MANY: usize = 21_500;
    let server = RedisServer::start().await;
    let bench = Bench::on_redis(&server.url()).await;
    for first in (0..MANY).step_by(5_000) {
        bench.broker.enqueue(QUEUE, jobs(first..(first + 5_000).min(MANY))).await.unwrap();
    }
    let mut tokens = Vec::new();
    while tokens.len() < MANY {
        tokens.extend(bench.fetch(5_000).await.into_iter().map(|job| job.token));
    }
    bench.tick_for(20).await;
    for tokens in tokens.chunks(5_000) {
        assert!(bench.broker.heartbeat(QUEUE, tokens.to_vec(), LEASE).await.unwrap().lost.is_empty());
    }
    bench.advance(9);
    assert_eq!(bench.reclaim().await.next_in, Some(Duration::from_secs(1)));
    bench.advance(1);
    assert_eq!(bench.reclaim().await.next_in, Some(Duration::ZERO), "there are more to look at");
    // A lease that starts meanwhile and expires before all others.
    let short = bench.add("short", EnqueueOptions::new()).await;
    let fetch = Fetch { worker: bench.worker.clone(), max: 1, lease: Duration::from_secs(8) };
    assert_eq!(bench.broker.ack_and_fetch(QUEUE, Vec::new(), fetch).await.unwrap().1.len(), 1);
    bench.advance(1);
    let round = bench.reclaim().await;
    assert_eq!((round.ready, round.next_in), (Vec::new(), Some(Duration::from_secs(7))));
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    for seconds in (0..7).rev() {
        bench.advance(1);
        if seconds > 0 {
            assert_eq!(bench.reclaim().await.next_in, Some(Duration::from_secs(seconds)));
        }
    }
    assert_eq!(calls(&server, "hscan").await, 0);
    let mut taken = bench.reclaim().await;
    taken.ready.extend(bench.reclaim().await.ready);
    assert_eq!(taken.ready, [short]);
    assert_eq!(bench.reclaim().await.next_in, Some(Duration::from_secs(12)));
}

/// Cursors of another server are not valid: continuing with an old one would miss leases.
#[tokio::test]
async fn a_check_of_leases_does_not_continue_the_cursor_of_another_server() {
    let server = RedisServer::start().await;
    let bench = Bench::on_redis(&server.url()).await;
    let front = |keys: String| keys.trim().strip_suffix("meta").unwrap().to_owned();
    bench.broker.enqueue(QUEUE, jobs(0..3)).await.unwrap();
    assert_eq!(bench.fetch(3).await.len(), 3);
    bench.tick_for(5).await;
    let meta = format!("{}meta", front(server.cli(&["KEYS", "*:{q:work:0}:meta"]).await));
    // As an interrupted check leaves it.
    let never = "253402300799999";
    server.cli(&["HSET", &meta, "scan", "7", "soonest", never, "expiry", never, "server", "0abc"]).await;
    assert!(bench.reclaim().await.guarded);
    assert_eq!(server.cli(&["HEXISTS", &meta, "scan"]).await.trim(), "0");
    assert_eq!(bench.tick_for(30).await.ready.len(), 3);
}
