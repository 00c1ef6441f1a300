//! How soon a node drops a value that another node changed, or whose change it may have missed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::Fill;
use tidegate_testkit::redis::{RedisServer, Sentinels};
use tidegate_testkit::{poll_until, scale};
use tokio::time::Instant;

use crate::ground::{Node, SOON, Store, client, foreign, is_full, key, nodes_on, percentile, server_and_nodes, tag};

/// Between two heartbeats of tracking.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Two heartbeats, as far as a machine that does other things as well can be held to it.
fn two_heartbeats() -> Duration {
    if is_full() { 2 * HEARTBEAT + Duration::from_millis(50) } else { SOON }
}

async fn until_gone(node: &Node, index: u32) -> Duration {
    let started = Instant::now();
    while node.has(index) {
        assert!(started.elapsed() < SOON, "{index} is still there");
        tokio::task::yield_now().await;
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_on_one_node_is_seen_on_the_other_within_milliseconds() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    let mut delays = Vec::new();
    for round in 0..u32::try_from(scale(300, 10_000)).unwrap() {
        let index = round % 50;
        // A heartbeat that comes late on a busy machine empties L1 once.
        let held = poll_until(SOON, async || {
            other.read(index, &store).await;
            other.has(index).then_some(())
        });
        held.await.unwrap_or_else(|_| panic!("{round} {:?} {:?}", other.listener.0, other.l2()));
        store.row.store(round + 1, Ordering::SeqCst);
        match round % 3 {
            0 => drop(one.cache.remove(&key(index)).await.unwrap()),
            1 => one.cache.invalidate_tag(&tag()).await.unwrap(),
            _ => assert!(one.things.put(&key(index), Fill::new(round + 1).tag(tag())).await),
        }
        // From here on the old value must not be served.
        delays.push(until_gone(&other, index).await);
        assert_eq!(*other.read(index, &store).await.value, round + 1);
    }
    let [median, high] = [0.5, 0.99].map(|part| percentile(&mut delays, part));
    println!("gone from the other node's L1 after {median:?} (median), {high:?} (P99) of {} writes", delays.len());
    assert!(high <= if is_full() { Duration::from_millis(5) } else { SOON }, "{high:?}");
}

/// Stores a value in both nodes' L1. `lose` then makes it old without a notice to them. Returns how
/// long each node still served it. Once it is gone, neither node reads it again.
async fn noticed(nodes: [&Node; 2], index: u32, store: &Store, lose: impl AsyncFnOnce()) -> Duration {
    for node in nodes {
        let kept = poll_until(SOON, async || node.read(index, store).await.stored.then_some(()));
        kept.await.unwrap();
        assert!(node.has(index));
    }
    let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
    lose().await;
    let mut longest = Duration::ZERO;
    let started = Instant::now();
    for node in nodes {
        until_gone(node, index).await;
        longest = longest.max(started.elapsed());
    }
    for _ in 0..20 {
        for node in nodes {
            assert_eq!(*node.read(index, store).await.value, new);
            node.outlive_l1();
        }
    }
    longest
}

fn report(loss: &str, took: Duration) {
    println!("{loss}: noticed after {took:?}");
    assert!(took <= two_heartbeats(), "{loss}: {took:?}");
}

#[tokio::test]
async fn flushed_values_are_served_for_two_heartbeats_at_most() {
    let (server, [one, other]) = server_and_nodes().await;
    let (store, stranger) = (Store::default(), client(&server.url()).await);
    for round in 0..3 {
        let flush = async || drop(foreign(&stranger, &["FLUSHALL"]).await);
        report("flush", noticed([&one, &other], round, &store, flush).await);
    }
}

#[tokio::test]
async fn values_changed_without_tracking_are_served_for_two_heartbeats_at_most() {
    let (server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    for round in 0..3 {
        let name = format!("tg:c:{{thing:t1:{round}}}");
        let lose = async || {
            server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
            server.cli(&["DEL", &name]).await;
        };
        report("killed connections", noticed([&one, &other], round, &store, lose).await);
        for node in [&one, &other] {
            node.until(|l2| l2.is_followed && l2.is_available).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_ten_thousand_is_over_within_two_heartbeats() {
    let (server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    let burst = "for i = 0, 9999 do redis.call('SET', 'tg:c:{thing:t1:' .. (i + 100) .. '}', '') end \
        redis.call('DEL', 'tg:c:{thing:t1:1}') return 1";
    let lose = async || drop(server.cli(&["EVAL", burst, "0"]).await);
    report("burst", noticed([&one, &other], 1, &store, lose).await);
}

/// A generation that is lost by eviction invalidates the entries that carried it. Its successor
/// admits no older entry.
#[tokio::test]
async fn a_lost_generation_of_a_tag_brings_nothing_back() {
    let (server, [one, other]) = server_and_nodes().await;
    let (store, stranger) = (Store::default(), client(&server.url()).await);
    let lose = async || {
        foreign(&stranger, &["DEL", "tg:cg:{t:tenant:t1}"]).await;
        one.cache.invalidate_tag(&tag()).await.unwrap();
    };
    report("lost generation", noticed([&one, &other], 1, &store, lose).await);
    // Also without an invalidation: entries of the generation are not trusted for longer than that.
    for round in 0..3 {
        let [index, beside] = [10 + round, 20 + round];
        other.read(beside, &store).await;
        one.read(index, &store).await;
        let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
        foreign(&stranger, &["DEL", "tg:cg:{t:tenant:t1}"]).await;
        let (lost, loads) = (Instant::now(), store.reads());
        other.read(30 + round, &store).await; // makes a new generation
        // Each process has a memory of its own.
        for node in [&one, &other] {
            let noticed = poll_until(SOON, async || {
                node.outlive_l1();
                let read = [node.read(index, &store).await, node.read(beside, &store).await];
                read.iter().all(|read| *read.value == new).then_some(())
            });
            noticed.await.unwrap();
            report("lost generation, without a notice", lost.elapsed());
        }
        for _ in 0..20 {
            for node in [&one, &other] {
                node.outlive_l1();
                for index in [index, beside] {
                    assert_eq!(*node.read(index, &store).await.value, new, "nothing of before comes back");
                }
            }
        }
        assert_eq!(store.reads(), loads + 3, "each of them is loaded once");
    }
}

/// The longest pause of a client between two attempts to connect.
const RECONNECT: Duration = Duration::from_millis(500);

/// Time after which a hanging server is known to hang if only the heartbeat queries it. Two
/// heartbeats get no reply, each takes a time-out, and the connection is closed 2 s later, when a
/// probe's time-out ends.
const HANGS: Duration = Duration::from_secs(6);

/// Changes a row without a notice to either node, as soon as the Sentinels agree on another
/// primary. Returns how long either node served the old value.
async fn fail_over(
    sentinels: &mut Sentinels,
    index: u32,
    (how, bound): (&str, Duration),
    choose: impl AsyncFnOnce(&mut Sentinels),
) {
    let [one, other] = nodes_on(&format!("{}?timeout=1s", sentinels.url())).await;
    let store = Store::default();
    for node in [&one, &other] {
        let kept = poll_until(SOON, async || node.read(index, &store).await.stored.then_some(()));
        kept.await.unwrap();
        assert!(node.has(index));
    }
    choose(sentinels).await;
    let chosen = Instant::now();
    let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
    // Another client changes it on the new primary before a node here can know that primary.
    sentinels.primary().await.cli(&["DEL", &format!("tg:c:{{thing:t1:{index}}}")]).await;
    for node in [&one, &other] {
        until_gone(node, index).await;
        node.until(|l2| l2.is_followed && l2.is_available).await;
    }
    let took = chosen.elapsed();
    println!("failover, {how}: served and followed from the new primary {took:?} after it was chosen");
    assert!(took <= if is_full() { bound } else { SOON }, "{how}: {took:?}");
    for node in [&one, &other] {
        assert_eq!(*node.read(index, &store).await.value, new);
    }
}

/// No more than that, over the longest pause of the client before it finds the new primary. Neither
/// node is queried meanwhile, so only the heartbeat can notice.
#[tokio::test]
async fn values_changed_in_a_failover_are_served_for_two_heartbeats_at_most() {
    let mut sentinels = Sentinels::start().await;
    let bound = two_heartbeats() + RECONNECT;
    for index in 0..u32::try_from(scale(1, 3)).unwrap() {
        // It returns when the old primary is a replica, which is when it closes the connections of
        // its clients.
        fail_over(&mut sentinels, index, ("ordered", bound), async |sentinels| sentinels.failover().await).await;
    }
    let hang = async |sentinels: &mut Sentinels| {
        let primary = sentinels.primary().await;
        let port = primary.port();
        primary.hang().await;
        sentinels.wait_for_primary_other_than(port).await;
    };
    fail_over(&mut sentinels, 8, ("hung", HANGS + bound), hang).await;
    for server in sentinels.servers() {
        server.resume();
    }
    let kill = async |sentinels: &mut Sentinels| {
        let primary = sentinels.primary().await;
        let port = primary.port();
        primary.kill9();
        sentinels.wait_for_primary_other_than(port).await;
    };
    fail_over(&mut sentinels, 9, ("killed", bound), kill).await;
}

/// The server is away for a while, and no process was notified of the changes meanwhile.
#[tokio::test]
async fn values_lost_in_a_restart_are_not_served_once_the_server_answers() {
    let mut server = RedisServer::start().await;
    let [one, other] = nodes_on(&server.url()).await;
    let store = Store::default();
    for node in [&one, &other] {
        node.read(1, &store).await;
        assert!(node.has(1));
    }
    let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
    server.kill9();
    server.restart().await;
    server.cli(&["DEL", "tg:c:{thing:t1:1}"]).await;
    for node in [&one, &other] {
        node.until(|l2| l2.is_followed && l2.is_available).await;
        report("restart, from when it is followed", until_gone(node, 1).await);
        let read = async || Some(*node.read(1, &store).await.value).filter(|value| *value == new);
        poll_until(SOON, read).await.unwrap();
    }
}
