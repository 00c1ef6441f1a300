//! Changes of others in L2 reach L1.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cache::{Fill, Pattern, Source};
use tidegate_redis::{Command, Notice, Tracking};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ground::{CLASS, Node, SOON, Store, client, foreign, key, nodes_on, patient, server_and_nodes, tag};

#[tokio::test]
async fn a_write_of_another_program_is_noticed_by_all_nodes() {
    let (server, nodes) = server_and_nodes::<3>().await;
    let (store, stranger) = (Store::default(), client(&server.url()).await);
    for words in [&["DEL", "tg:c:{thing:t1:1}"][..], &["SET", "tg:c:{thing:t1:1}", "x"][..]] {
        for node in &nodes {
            node.read(1, &store).await;
            node.read(2, &store).await;
            assert!(node.has(1) && node.has(2));
        }
        foreign(&stranger, words).await;
        for node in &nodes {
            node.until_gone(1).await;
            assert!(node.has(2), "what was not touched stays");
        }
    }
}

#[tokio::test]
async fn a_fill_of_one_node_removes_nothing_from_the_l1_of_others() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    for index in 0..200 {
        one.read(index, &store).await;
        other.read(index, &store).await;
    }
    // Notices come in order: once this one has come, the others have.
    one.read(1000, &store).await;
    other.read(1000, &store).await;
    other.cache.remove(&key(1000)).await.unwrap();
    one.until_gone(1000).await;
    for index in 0..200 {
        assert!(one.has(index) && other.has(index), "{index}");
    }
    assert_eq!(store.reads(), 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_invalidations_is_noticed_to_the_last_one() {
    const BURST: u32 = 10_000;
    let (_server, [one, other]) = server_and_nodes().await;
    let keys: Vec<_> = (0..BURST).map(key).collect();
    for (index, key) in (0..).zip(&keys) {
        one.things.put(key, index).await;
    }
    // The other one holds them as well, as far as its L1 has room.
    for key in &keys {
        other.things.fetch(key, async || Err::<Fill<u32>, _>(())).await.unwrap();
    }
    let held: Vec<u32> = (0..BURST).filter(|index| other.has(*index)).collect();
    assert!(held.len() > 5000, "{}", held.len());
    one.cache.remove_many(&keys).await.unwrap();
    for index in held {
        other.until_gone(index).await;
    }
}

#[tokio::test]
async fn a_killed_tracking_connection_costs_only_l1() {
    let (server, nodes) = server_and_nodes::<2>().await;
    let stranger = client(&server.url()).await;
    for round in 0..3 {
        let store = Store::default();
        for node in &nodes {
            node.read(round, &store).await;
            assert!(node.has(round));
        }
        let kill = Command::new("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        stranger.execute(kill).await.unwrap();
        // No node may be notified of this one through the connection that was closed.
        foreign(&stranger, &["DEL", &format!("tg:c:{{thing:t1:{round}}}")]).await;
        for node in &nodes {
            node.until_gone(round).await;
            node.until(|l2| l2.is_followed && l2.is_available).await;
        }
        for node in &nodes {
            poll_until(SOON, async || node.read(round + 100, &store).await.stored.then_some(())).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_invalidation_reaches_l1_even_if_l2_had_no_value() {
    let (server, [one, other]) = server_and_nodes().await;
    let stranger = client(&server.url()).await;
    // As after an unnoticed eviction: L1 has a value that L2 has not.
    let unshared = other.cache.typed::<u32>(CLASS);
    unshared.put(&key(1), Fill::new(1).tag(tag())).await;
    unshared.put(&key(2), Fill::new(1).tag(tag())).await;
    one.cache.remove(&key(1)).await.unwrap();
    other.until_gone(1).await;
    assert!(other.has(2));
    one.cache.invalidate_tag(&tag()).await.unwrap();
    other.until_gone(2).await;
    drop(stranger);
}

/// The notice of an invalidation comes once: an expiring mark does not cause a second one that
/// drops a later load.
#[tokio::test]
async fn an_invalidation_is_sent_once_and_leaves_nothing_to_expire() {
    let (server, [one]) = server_and_nodes().await;
    let store = Store::default();
    one.read(1, &store).await;
    let listener = client(&server.url()).await;
    let mut heard = Tracking::start(&listener, &["tg:c:", "tg:cn:"]).await.unwrap();
    one.cache.remove(&key(1)).await.unwrap(); // which L2 held
    one.cache.remove(&key(2)).await.unwrap(); // and which not
    one.cache.invalidate_tag(&tag()).await.unwrap();
    one.cache.invalidate_class("things").await.unwrap();
    one.cache.invalidate_pattern(&Pattern::parse("none:*").unwrap()).await.unwrap();
    one.cache.clear().await.unwrap();
    one.cache.remove(&key(3)).await.unwrap();
    let told = [
        "tg:c:{thing:t1:1}",
        "tg:c:{thing:t1:2}",
        "t:{t:tenant:t1}",
        "c:{e}:things",
        "p:{e}::none:*",
        "a:{e}",
        "tg:c:{thing:t1:3}",
    ];
    let stranger = client(&server.url()).await;
    for what in told {
        let notice = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
        let Notice::Key(name) = notice else { panic!("{notice:?}") };
        let name = str::from_utf8(&name).unwrap();
        // Behind the sender, in a mark.
        let mark = name.strip_prefix("tg:cn:").map(|mark| mark.split_once(':').unwrap().1);
        assert_eq!(mark.unwrap_or(name), what);
        assert_eq!(foreign(&stranger, &["PTTL", name]).await.as_int().unwrap(), -2, "{name} is still there");
    }
}

/// A node receives the notices of its own changes too, because Redis reports the effects of scripts
/// to all. They change nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_read_after_an_own_change_is_cached() {
    let (_server, [one, _other]) = server_and_nodes().await;
    let store = Store::default();
    for round in 0..500 {
        match round % 5 {
            0 => drop(one.cache.remove(&key(1)).await.unwrap()),
            1 => one.cache.invalidate_tag(&tag()).await.unwrap(),
            2 => drop(one.cache.invalidate_class("things").await.unwrap()),
            3 => drop(one.cache.invalidate_pattern(&Pattern::parse("thing:*").unwrap()).await.unwrap()),
            _ => one.cache.clear().await.unwrap(),
        }
        let read = one.read(1, &store).await;
        assert_eq!((read.source, read.stored), (Source::Loaded, true), "round {round}");
        assert_eq!(one.read(1, &store).await.source, Source::Hit, "round {round}");
    }
}

#[tokio::test]
async fn l1_has_its_own_cap_below_the_lifetime_of_l2() {
    let (_server, [one]) = server_and_nodes().await;
    let store = Store::default();
    let read = one.read(1, &store).await;
    assert!(read.fresh_for <= Duration::from_secs(60), "{:?}", read.fresh_for);
    one.outlive_l1();
    assert_eq!(one.read(1, &store).await.source, Source::Shared);
}

/// Values that L2 does not hold have nothing to be compared with.
#[tokio::test]
async fn a_notice_during_a_load_keeps_a_value_without_l2_out_of_l1() {
    let server = RedisServer::start().await;
    let url = patient(&server.url());
    let [other] = nodes_on::<1>(&url).await;
    for (index, without_codec) in [(1, true), (2, false)] {
        let here =
            Node::start_in(&url, "tg", |tier| if without_codec { tier } else { tier.patience(Duration::ZERO) }).await;
        let things = if without_codec { here.cache.typed(CLASS) } else { here.things.clone() };
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (started, gate) = (Arc::clone(&begun), Arc::clone(&go_on));
        let load = async move || {
            started.notify_one();
            gate.notified().await;
            Ok::<_, Infallible>(Fill::new(7_u32))
        };
        let reader = things.clone();
        let read = tokio::spawn(async move { *reader.fetch(&key(index), load).await.unwrap().value });
        begun.notified().await;
        assert!(here.things.put(&key(100 + index), 1).await);
        // One after the other on one connection: once the second has come, the first has too.
        other.cache.remove(&key(index)).await.unwrap();
        other.cache.remove(&key(100 + index)).await.unwrap();
        here.until_gone(100 + index).await;
        go_on.notify_one();
        assert_eq!(read.await.unwrap(), 7);
        assert!(things.peek(&key(index)).into_value().is_none(), "without a codec: {without_codec}");
    }
}

/// On one thread: between two of its turns the other node walks over a piece of its memory.
#[tokio::test]
async fn a_pattern_of_another_process_lets_others_run() {
    let (_server, [one, other]) = server_and_nodes().await;
    let local = other.cache.typed::<u32>(CLASS);
    for index in 0..5_000 {
        local.put(&key(index), index).await;
    }
    let entries = || other.cache.stats().tiers[0].entries.unwrap();
    // A task of its own sends it: the walk may begin before the sender has its answer, and each of
    // its turns must be observed.
    let told = one.cache.clone();
    let telling = tokio::spawn(async move { told.invalidate_pattern(&Pattern::parse("thing:*").unwrap()).await });
    let (mut before, mut turns) = (5_000, 0);
    let started = Instant::now();
    while before > 0 {
        assert!(started.elapsed() < SOON, "{before} left");
        let left = entries();
        assert!(before - left <= 2_000, "{} in one turn", before - left);
        turns += usize::from(left < before);
        before = left;
        tokio::task::yield_now().await;
    }
    assert!(turns > 2, "{turns}");
    telling.await.unwrap().unwrap();
}
