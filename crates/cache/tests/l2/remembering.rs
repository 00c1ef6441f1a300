//! Hits in L2 rely on recent replies of Redis about the epoch and tags: for how long, and until
//! which notice of a move.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Source, TtlClass};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::time::{Instant, sleep};

use crate::ground::{
    CLASS, Node, SOON, Store, client, foreign, heard, is_full, key, nodes_on, patient, server_and_nodes, tag,
};

/// Two heartbeats, as far as a machine that does other things as well can be held to it.
fn two_heartbeats() -> Duration {
    if is_full() { Duration::from_millis(1050) } else { SOON }
}

/// Calls of a command since the counts were reset.
async fn calls(server: &RedisServer, command: &str) -> u64 {
    let text = server.cli(&["INFO", "commandstats"]).await;
    let begins = format!("cmdstat_{command}:calls=");
    let count = text.lines().find_map(|line| line.strip_prefix(&begins)?.split(',').next()?.parse().ok());
    count.unwrap_or_default()
}

/// A read that L1 has nothing for.
async fn read_l2(node: &Node, index: u32, store: &Store) -> (u32, Source) {
    node.outlive_l1();
    let read = node.read(index, store).await;
    (*read.value, read.source)
}

/// All operations, except those on keys, by which one node invalidates the marks of its entries.
async fn invalidate(node: &Node, round: u32) {
    match round % 3 {
        0 => node.cache.invalidate_tag(&tag()).await.unwrap(),
        1 => drop(node.cache.invalidate_class(CLASS.name()).await.unwrap()),
        _ => node.cache.clear().await.unwrap(),
    }
}

#[tokio::test]
async fn a_hit_costs_redis_one_command() {
    const HITS: u64 = 300;
    let (server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    one.read(1, &store).await;
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    let begun = Instant::now();
    for _ in 0..HITS {
        assert_eq!(read_l2(&other, 1, &store).await, (0, Source::Shared));
    }
    // Remembered replies are renewed from time to time, here by a script and by a `GET` of the tag.
    let renewals = 2 * (2 + u64::try_from(begun.elapsed().as_millis()).unwrap() / 400);
    let (gets, scripts) = (calls(&server, "get").await, calls(&server, "evalsha").await);
    assert!((HITS..=HITS + renewals).contains(&gets), "{gets} GET");
    assert!(scripts <= renewals, "{scripts} scripts, {renewals} allowed");
    assert_eq!(calls(&server, "hmget").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_sees_its_own_invalidations_at_once() {
    let (_server, [one]) = server_and_nodes().await;
    let store = Store::default();
    // Other readers continue, so that there is always a reply in flight or remembered.
    let busy: Vec<_> = (0..4)
        .map(|index| {
            let (node, store) = (one.clone(), store.clone());
            tokio::spawn(async move {
                loop {
                    read_l2(&node, index, &store).await;
                }
            })
        })
        .collect();
    for round in 0..150 {
        read_l2(&one, 9, &store).await;
        let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
        invalidate(&one, round).await;
        assert_eq!(read_l2(&one, 9, &store).await.0, new, "round {round}");
    }
    busy.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_applies_a_move_of_which_it_was_notified() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    let busy = {
        let (node, store) = (other.clone(), store.clone());
        tokio::spawn(async move {
            loop {
                read_l2(&node, 1, &store).await;
            }
        })
    };
    for round in 0..90 {
        read_l2(&other, 2, &store).await;
        let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
        invalidate(&one, round).await;
        heard(&other, &one).await;
        assert_eq!(read_l2(&other, 2, &store).await.0, new, "round {round}");
    }
    busy.abort();
}

/// A move without a notice: the generation, a class or the epoch is changed by hand, or flushed.
#[tokio::test]
async fn an_unannounced_move_is_noticed_within_two_heartbeats() {
    let (server, [one]) = server_and_nodes().await;
    let (store, stranger) = (Store::default(), client(&server.url()).await);
    for round in 0..3 {
        assert!(
            poll_until(SOON, async || (read_l2(&one, 1, &store).await.1 == Source::Shared).then_some(())).await.is_ok()
        );
        let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
        match round {
            0 => drop(foreign(&stranger, &["SET", "tg:cg:{t:tenant:t1}", "1"]).await),
            1 => drop(server.cli(&["HINCRBY", "tg:ce:{e}", "c:things", "1"]).await),
            _ => drop(server.cli(&["HSET", "tg:ce:{e}", "e", "another"]).await),
        }
        let moved = Instant::now();
        let seen = poll_until(SOON, async || (read_l2(&one, 1, &store).await.0 == new).then_some(()));
        seen.await.unwrap();
        assert!(moved.elapsed() <= two_heartbeats(), "round {round}: {:?}", moved.elapsed());
    }
}

#[tokio::test]
async fn a_process_without_notices_remembers_no_replies() {
    let server = RedisServer::start().await;
    server.cli(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]).await;
    let [one] = nodes_on(&patient(&server.url())).await;
    let [deaf] = nodes_on(&patient(&format!("redis://app:secret@127.0.0.1:{}", server.port()))).await;
    let store = Store::default();
    one.read(1, &store).await;
    assert_eq!(read_l2(&deaf, 1, &store).await.1, Source::Shared);
    let forbidden = ["-client|tracking", "-client|trackinginfo", "-subscribe", "-ssubscribe"];
    server.cli(&[&["ACL", "SETUSER", "app"][..], &forbidden].concat()).await;
    server.cli(&["CLIENT", "KILL", "USER", "app"]).await;
    deaf.until(|l2| !l2.is_followed).await;
    for round in 0..30 {
        poll_until(SOON, async || (read_l2(&deaf, 1, &store).await.1 == Source::Shared).then_some(())).await.unwrap();
        let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
        invalidate(&one, round).await;
        assert_eq!(read_l2(&deaf, 1, &store).await.0, new, "round {round}");
    }
}

/// The date in an entry is the one that Redis itself would return.
#[tokio::test]
async fn an_entry_is_fresh_until_redis_expires_it() {
    const TTL: Duration = Duration::from_millis(400);
    let (_server, [one, other]) = server_and_nodes().await;
    let class = TtlClass::new("short", TTL);
    let [mine, theirs] = [&one, &other].map(|node| node.cache.typed_with_codec::<u32>(class, Json::new()));
    for round in 0..3 {
        let before = Instant::now();
        mine.put(&key(1), round).await;
        let stored = Instant::now();
        let mut hits = 0;
        loop {
            other.outlive_l1();
            let asked = Instant::now();
            let Ok(read) = theirs.fetch(&key(1), async || Err::<Fill<u32>, _>("gone")).await else { break };
            assert_eq!((*read.value, read.source), (round, Source::Shared));
            // Redis counts whole milliseconds.
            let (least, most) = (TTL.saturating_sub(before.elapsed()), TTL.saturating_sub(asked - stored));
            assert!(read.fresh_for <= most + Duration::from_millis(1), "{:?}, {most:?} at most", read.fresh_for);
            hits += u32::from(read.fresh_for >= least.saturating_sub(Duration::from_millis(100)));
            sleep(Duration::from_millis(5)).await;
        }
        assert!(hits > 0, "round {round}: never as long as it is");
        assert!(before.elapsed() >= TTL, "gone before its time: {:?}", before.elapsed());
    }
}
