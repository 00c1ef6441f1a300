//! Operations that Redis refuses: they are reported, nothing stale is served, and reads of L2
//! continue.

use std::sync::atomic::Ordering;

use tidegate_cache::{Fill, Pattern, Source};
use tidegate_testkit::redis::RedisServer;

use crate::ground::{Node, Store, key, nodes_on, patient, server_and_nodes, tag};

fn pattern() -> Pattern {
    Pattern::parse("thing:*").unwrap()
}

/// Runs every kind of invalidation, one after the other: none stays owed, and no node reads the old
/// value.
async fn every_invalidation_is_told(one: &Node, other: &Node) {
    let store = Store::default();
    for round in 0..7 {
        one.read(1, &store).await;
        other.read(1, &store).await;
        let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
        match round {
            0 => drop(one.cache.remove(&key(1)).await.unwrap()),
            1 => drop(one.cache.remove_many(&[key(1), key(2)]).await.unwrap()),
            2 => one.cache.invalidate_tag(&tag()).await.unwrap(),
            3 => drop(one.cache.invalidate_class("things").await.unwrap()),
            4 => drop(one.cache.invalidate_pattern(&pattern()).await.unwrap()),
            5 => drop(one.cache.invalidate_pattern_of("things", &pattern()).await.unwrap()),
            _ => one.cache.clear().await.unwrap(),
        }
        assert_eq!(one.cache.owed(), Some(0), "round {round}");
        other.until_gone(1).await;
        for node in [one, other] {
            assert_eq!(*node.read(1, &store).await.value, new, "round {round}");
        }
    }
}

/// A value that one node loads is found by the other in L2.
async fn l2_is_read(one: &Node, other: &Node, index: u32) {
    let store = Store::default();
    one.read(index, &store).await;
    assert_eq!((other.read(index, &store).await.source, store.reads()), (Source::Shared, 1));
    assert_eq!((one.l2().owed, other.l2().owed), (0, 0));
}

#[tokio::test]
async fn a_foreign_value_in_a_class_leaves_no_invalidation_to_send() {
    let (server, [one, other]) = server_and_nodes().await;
    server.cli(&["RPUSH", "tg:c:{thing:t1:7}", "foreign"]).await;
    one.cache.invalidate_pattern_of("things", &pattern()).await.unwrap();
    server.cli(&["RPUSH", "tg:c:{thing:t1:7}", "foreign"]).await;
    every_invalidation_is_told(&one, &other).await;
    l2_is_read(&one, &other, 100).await;
    assert_eq!((one.l2().errors, other.l2().errors), (0, 0), "{:?}", one.listener.0);
}

/// A foreign value at a key of a value, a fence, a generation or the epoch counts as none, and is
/// replaced.
#[tokio::test]
async fn foreign_values_at_keys_of_the_cache_count_as_nothing() {
    let (server, [one, other]) = server_and_nodes().await;
    let keys = ["tg:c:{thing:t1:1}", "tg:cf:{thing:t1:1}", "tg:cg:{t:tenant:t1}", "tg:ce:{e}"];
    let store = Store::default();
    for name in keys {
        let foreign: [&[&str]; 4] = [
            &["RPUSH", name, "foreign"],
            &["SET", name, "foreign"],
            &["SET", name, "nan"],
            &["SET", name, "99999999999999999999"],
        ];
        for words in foreign {
            one.read(1, &store).await;
            server.cli(&["DEL", name]).await;
            server.cli(words).await;
            // A string may stand for a fence, as any other string does.
            if name.starts_with("tg:cf") && words[0] == "SET" {
                server.cli(&["PEXPIRE", name, "1"]).await;
            }
            let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
            one.cache.invalidate_tag(&tag()).await.unwrap();
            other.until_gone(1).await;
            for node in [&one, &other] {
                assert_eq!(*node.read(1, &store).await.value, new, "{words:?}");
            }
        }
    }
    // While the foreign value exists.
    for name in keys {
        server.cli(&["DEL", name]).await;
        server.cli(&["RPUSH", name, "foreign"]).await;
        let new = store.row.fetch_add(1, Ordering::SeqCst) + 1;
        one.outlive_l1();
        other.outlive_l1();
        one.cache.remove(&key(1)).await.unwrap();
        server.cli(&["RPUSH", name, "foreign"]).await;
        assert_eq!(*one.read(1, &store).await.value, new, "{name}");
        assert_eq!(*other.read(1, &store).await.value, new, "{name}");
    }
    l2_is_read(&one, &other, 100).await;
    assert_eq!((one.l2().owed, other.l2().owed), (0, 0));
}

#[tokio::test]
async fn a_full_server_without_eviction_accepts_invalidations() {
    let (server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    one.read(50, &store).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(other.read(50, &store).await.source, Source::Shared, "it is read");
    every_invalidation_is_told(&one, &other).await;
    // A caller's value cannot be stored, but the old one is gone all the same.
    store.row.store(1000, Ordering::SeqCst);
    one.things.put(&key(1), Fill::new(1000).tag(tag())).await;
    one.until(|l2| l2.owed == 0).await;
    other.until_gone(1).await;
    assert_eq!(*other.read(1, &store).await.value, 1000);
    let heard = one.listener.0.lock().unwrap().clone();
    assert!(heard.iter().any(|event| event.contains("OOM")), "{heard:?}");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    one.cache.clear().await.unwrap();
    l2_is_read(&one, &other, 100).await;
}

#[tokio::test]
async fn an_account_that_may_not_scan_invalidates_everything_instead() {
    let server = RedisServer::start().await;
    server.cli(&["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-scan"]).await;
    let [one, other] = nodes_on(&patient(&format!("redis://app:secret@127.0.0.1:{}", server.port()))).await;
    every_invalidation_is_told(&one, &other).await;
    l2_is_read(&one, &other, 100).await;
    // Each of the two that covered more than requested is reported once.
    let heard = one.listener.0.lock().unwrap().clone();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard.iter().all(|event| event.contains("invalidate") && event.contains("NOPERM")), "{heard:?}");
}
