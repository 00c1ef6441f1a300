//! Redis hangs, dies, comes back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Source, Touched};
use tidegate_testkit::poll_until;
use tokio::time::{Instant, timeout};

use crate::ground::{Node, SOON, Store, is_full, key, nodes_on, percentile, tag};
use tidegate_testkit::redis::{Proxy, RedisServer, Relay};

/// The time-out of a command of the cache role.
const TIMEOUT: Duration = Duration::from_millis(250);

/// Nodes with the time-out that they have in earnest.
async fn quick_server_and_nodes<const N: usize>() -> (RedisServer, [Node; N]) {
    let server = RedisServer::start().await;
    let nodes = nodes_on(&server.url()).await;
    (server, nodes)
}

/// Reads new keys. The first may wait for one time-out, the others for none.
async fn reads_go_on(node: &Node, from: u32, store: &Store) {
    let started = Instant::now();
    let read = timeout(SOON, node.read(from, store)).await.unwrap();
    assert_eq!((read.source, read.stored), (Source::Loaded, true));
    // Two would be too many.
    assert!(started.elapsed() < TIMEOUT * 2, "{:?}", started.elapsed());
    let started = Instant::now();
    for index in from + 1..from + 101 {
        assert_eq!(node.read(index, store).await.source, Source::Loaded);
    }
    assert!(started.elapsed() < Duration::from_millis(1000), "100 reads took {:?}", started.elapsed());
    assert!(node.has(from), "L1 serves on");
}

#[tokio::test]
async fn a_redis_that_hangs_costs_one_time_out_and_no_invalidation_is_lost() {
    let (mut server, [one, other]) = quick_server_and_nodes().await;
    let store = Store::default();
    for index in [1, 2, 3] {
        one.read(index, &store).await;
        other.read(index, &store).await;
    }
    server.hang().await;
    reads_go_on(&one, 1000, &store).await;
    store.row.store(1, Ordering::SeqCst);
    let owed = one.cache.invalidate(&Touched::new().key(&key(1))).await.unwrap_err();
    assert_eq!(owed.removed, 1);
    one.cache.invalidate_tag(&tag()).await.unwrap_err();
    assert!(!one.has(1), "this process has invalidated all the same");
    assert_eq!(one.cache.owed(), Some(2));
    // While it owes, it does not believe L2.
    assert_eq!((*one.read(1, &store).await.value, one.l2().is_available), (1, false));
    server.resume();
    one.until(|l2| l2.owed == 0 && l2.is_available).await;
    // The other node learns of it only through Redis.
    other.until(|l2| l2.is_available).await;
    for index in [1, 2, 3] {
        poll_until(SOON, async || (!other.has(index)).then_some(())).await.unwrap();
        assert_eq!(*other.read(index, &store).await.value, 1);
    }
    poll_until(SOON, async || {
        other.outlive_l1();
        (other.read(1, &store).await.source == Source::Shared).then_some(())
    })
    .await
    .unwrap();
}

/// The first read after Redis stopped waits for at most one time-out. The others, and hits in L1,
/// have no noticeable delay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_slows_down_one_read() {
    let (mut server, [one]) = quick_server_and_nodes().await;
    let store = Store::default();
    one.read(1, &store).await;
    let hit = async || {
        let started = Instant::now();
        assert_eq!(one.read(1, &store).await.source, Source::Hit);
        started.elapsed()
    };
    let mut before = Vec::new();
    for _ in 0..2000 {
        before.push(hit().await);
    }
    server.hang().await;
    let started = Instant::now();
    assert_eq!(one.read(1000, &store).await.source, Source::Loaded);
    let first = started.elapsed();
    let (mut misses, mut hits) = (Vec::new(), Vec::new());
    for index in 0..2000 {
        let started = Instant::now();
        assert_eq!(one.read(1001 + index, &store).await.source, Source::Loaded);
        misses.push(started.elapsed());
        hits.push(hit().await);
    }
    server.resume();
    let [before, misses, hits] = [&mut before, &mut misses, &mut hits].map(|times| percentile(times, 0.5));
    println!("first read {first:?}, later ones {misses:?}; a hit {before:?} before, {hits:?} meanwhile (medians)");
    let [longest, later, more] =
        if is_full() { [40_000, 100, 5] } else { [5_000_000, 5_000, 1_000] }.map(Duration::from_micros);
    assert!(first <= TIMEOUT + longest, "{first:?}");
    assert!(misses <= later, "{misses:?}");
    assert!(hits <= before * 2 + more, "{hits:?} instead of {before:?}");
}

#[tokio::test]
async fn a_redis_that_restarts_is_used_again() {
    let (mut server, [one, other]) = quick_server_and_nodes().await;
    let store = Store::default();
    one.read(1, &store).await;
    other.read(1, &store).await;
    server.kill9();
    reads_go_on(&one, 1000, &store).await;
    store.row.store(1, Ordering::SeqCst);
    one.cache.remove(&key(1)).await.unwrap_err();
    server.restart().await;
    for node in [&one, &other] {
        node.until(|l2| l2.owed == 0 && l2.is_available && l2.is_followed).await;
        poll_until(SOON, async || {
            node.outlive_l1();
            (*node.read(1, &store).await.value == 1).then_some(())
        })
        .await
        .unwrap();
    }
    poll_until(SOON, async || {
        one.outlive_l1();
        (one.read(1, &store).await.source == Source::Shared).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_cancelled_invalidation_is_completed() {
    let (mut server, [one]) = quick_server_and_nodes().await;
    let store = Store::default();
    one.read(1, &store).await;
    server.hang().await;
    assert!(timeout(Duration::from_millis(20), one.cache.remove(&key(1))).await.is_err());
    assert_eq!(one.cache.owed(), Some(1));
    server.resume();
    one.until(|l2| l2.owed == 0).await;
    store.row.store(1, Ordering::SeqCst);
    poll_until(SOON, async || (*one.read(1, &store).await.value == 1).then_some(())).await.unwrap();
}

#[tokio::test]
async fn too_many_invalidations_become_one() {
    let (mut server, [one, other]) = quick_server_and_nodes().await;
    let store = Store::default();
    other.read(1, &store).await;
    server.hang().await;
    // One of them pays the time-out.
    one.cache.remove(&key(0)).await.unwrap_err();
    for from in [0, 6000] {
        let keys: Vec<_> = (from..from + 6000).map(|index| key(index + 10)).collect();
        one.cache.remove_many(&keys).await.unwrap_err();
    }
    assert_eq!(one.cache.owed(), Some(1));
    server.resume();
    one.until(|l2| l2.owed == 0).await;
    store.row.store(1, Ordering::SeqCst);
    // A key that the invalidation does not name is gone as well.
    poll_until(SOON, async || {
        other.outlive_l1();
        (*other.read(1, &store).await.value == 1).then_some(())
    })
    .await
    .unwrap();
}

/// Every reply may be lost: an invalidated value stays invalidated, and only the number of loads
/// grows.
#[tokio::test]
async fn lost_replies_bring_nothing_back() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let [one, other] = nodes_on(&proxy.url()).await;
    let store = Store::default();
    for round in 1..=30 {
        one.read(1, &store).await;
        other.read(1, &store).await;
        proxy.drop_next_reply();
        store.row.store(round, Ordering::SeqCst);
        // Not every node knows whether it was notified: owed invalidations are sent before L2 is
        // trusted again.
        let told = match round % 3 {
            0 => one.cache.invalidate_tag(&tag()).await,
            1 => one.cache.remove(&key(1)).await.map(drop),
            _ => one.cache.clear().await,
        };
        assert!(told.is_ok() || one.cache.owed() > Some(0) || one.l2().errors > 0);
        assert_eq!(*one.read(1, &store).await.value, round);
        one.until(|l2| l2.owed == 0 && l2.is_available).await;
        poll_until(SOON, async || {
            other.outlive_l1();
            (*other.read(1, &store).await.value == round).then_some(())
        })
        .await
        .unwrap();
    }
    assert!(proxy.dropped() > 10, "{}", proxy.dropped());
}

async fn scripts_run(server: &RedisServer) -> u64 {
    let text = server.cli(&["INFO", "commandstats"]).await;
    let count =
        text.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok());
    count.unwrap_or_default()
}

/// A connection that hangs may deliver a write long after its sender received an error.
#[tokio::test]
async fn a_set_that_arrives_too_late_is_refused() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let relay = Relay::start(proxy.port()).await;
    let one = Node::start(&format!("redis://127.0.0.1:{}", relay.port())).await;
    let other = Node::start(&server.url()).await;
    let store = Store::default();
    let keys: Vec<_> = (1..=3).map(key).collect();
    // So that the server knows the scripts.
    one.things.put(&keys[0], 0).await;
    one.things.put_many(keys.iter().map(|key| (key, 0))).await;
    for is_batch in [false, true] {
        one.until(|l2| l2.owed == 0 && l2.is_available && l2.is_followed).await;
        proxy.hold();
        let set = async {
            if is_batch {
                one.things.put_many(keys.iter().map(|key| (key, 1))).await;
            } else {
                one.things.put(&keys[0], 1).await;
            }
        };
        let ((), ()) = tokio::join!(set, async {
            // The epoch and the time are answered, the value itself does not arrive.
            poll_until(SOON, async || (proxy.held() >= 2).then_some(())).await.unwrap();
            relay.stop_requests();
            proxy.restore();
        });
        one.until(|l2| l2.owed > 0).await;
        one.until(|l2| l2.owed == 0 && l2.is_available).await;
        for key in &keys {
            other.things.put(key, 2).await;
        }
        let before = scripts_run(&server).await;
        relay.go_on();
        poll_until(SOON, async || (scripts_run(&server).await > before).then_some(())).await.unwrap();
        store.row.store(2, Ordering::SeqCst);
        for node in [&one, &other] {
            poll_until(SOON, async || {
                node.outlive_l1();
                (*node.read(1, &store).await.value == 2).then_some(())
            })
            .await
            .unwrap();
        }
        let held = server.cli(&["GET", "tg:c:{thing:t1:1}"]).await;
        // Behind the value stands the date, 16 digits.
        let value = held.get(..held.len().saturating_sub(16));
        assert!(held.is_empty() || value.is_some_and(|value| value.ends_with('2')), "{held:?}");
    }
}
