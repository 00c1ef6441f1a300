//! Values of L2 past their lifetime: served while they are reloaded, also by a process that never
//! had them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Key, Lookup, Read, Source, TtlClass, TypedCache};
use tidegate_testkit::poll_until;
use tokio::time::{sleep, timeout};

use crate::ground::{Node, SOON, Store, foreign, key, server_and_nodes, tag};

/// Stale as soon as it is there.
const BRIEF: TtlClass = TtlClass::new("brief", Duration::from_millis(1)).grace(Duration::from_secs(600));

fn things(node: &Node, class: TtlClass) -> TypedCache<u32> {
    node.cache.typed_with_codec(class, Json::new())
}

async fn read(things: &TypedCache<u32>, store: &Store) -> Read<u32> {
    let store = store.clone();
    let load = async move || Ok::<_, Infallible>(Fill::new(store.read().await).tag(tag()));
    timeout(SOON, things.fetch(&key(1), load)).await.unwrap().unwrap()
}

/// A value in L2 past its lifetime, of which `node` knows nothing.
async fn leave_stale(predecessor: &Node, class: TtlClass, value: u32) {
    assert!(things(predecessor, class).put(&key(1), Fill::new(value).tag(tag())).await);
    sleep(Duration::from_millis(5)).await;
}

#[tokio::test]
async fn a_new_process_serves_stale_values_of_its_predecessor_while_it_loads() {
    let (_server, [one, other]) = server_and_nodes().await;
    leave_stale(&one, BRIEF, 7).await;
    let (store, there) = (Store::slow(Duration::from_millis(300)), things(&other, BRIEF));
    store.row.store(8, Ordering::SeqCst);
    for _ in 0..10 {
        let stale = read(&there, &store).await;
        assert_eq!((*stale.value, stale.source, stale.fresh_for), (7, Source::Stale, Duration::ZERO));
    }
    poll_until(SOON, async || there.peek(&key(1)).into_value().filter(|value| **value == 8).map(drop)).await.unwrap();
    assert_eq!(store.reads(), 1, "it was loaded once");
    assert_eq!((other.l2().hits, other.l2().misses, other.l2().errors), (1, 0, 0), "one read, one look");
}

#[tokio::test]
async fn a_load_that_fails_leaves_the_stale_value() {
    let (_server, [one, other]) = server_and_nodes().await;
    for (round, class) in (0..).zip([BRIEF, BRIEF.soft_timeout(SOON)]) {
        leave_stale(&one, class, round).await;
        let there = things(&other, class);
        let down = timeout(SOON, there.fetch(&key(1), async || Err::<Fill<u32>, _>("down"))).await.unwrap();
        assert_eq!((*down.as_ref().unwrap().value, down.unwrap().source), (round, Source::Stale));
        poll_until(SOON, async || (other.cache.stats().classes[1].load_failures == u64::from(round) + 1).then_some(()))
            .await
            .unwrap();
        // It is still there for others, and may be loaded by any caller that can.
        one.outlive_l1();
        one.cache.remove(&key(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_soft_time_out_waits_for_the_fresh_value() {
    let (_server, [one, other]) = server_and_nodes().await;
    leave_stale(&one, BRIEF, 7).await;
    let (quick, slow) = (Store::slow(Duration::from_millis(20)), Store::slow(Duration::from_secs(3600)));
    quick.row.store(8, Ordering::SeqCst);
    let fresh = read(&things(&other, BRIEF.soft_timeout(SOON / 2)), &quick).await;
    assert_eq!((*fresh.value, fresh.source), (8, Source::Loaded));
    // Until the grace is over.
    other.cache.clear().await.unwrap();
    leave_stale(&one, BRIEF, 9).await;
    let stale = read(&things(&other, BRIEF.soft_timeout(Duration::from_millis(50))), &slow).await;
    assert_eq!((*stale.value, stale.source, slow.reads()), (9, Source::Stale, 1));
}

#[tokio::test]
async fn a_process_that_waits_for_another_serves_the_stale_value_and_loads_nothing() {
    let (_server, [one, other, third]) = server_and_nodes().await;
    leave_stale(&third, BRIEF, 7).await;
    let store = Store::slow(Duration::from_millis(400));
    store.row.store(8, Ordering::SeqCst);
    let long = BRIEF.grace(Duration::from_secs(600)); // of the new value as well
    for node in [&one, &other] {
        let stale = read(&things(node, long), &store).await;
        assert_eq!((*stale.value, stale.source), (7, Source::Stale));
    }
    for node in [&one, &other] {
        let has_new = async || things(node, long).peek(&key(1)).into_value().filter(|value| **value == 8).map(drop);
        poll_until(SOON, has_new).await.unwrap();
    }
    assert!(store.reads() <= 2, "{} loads", store.reads());
}

#[tokio::test]
async fn grace_ends_in_l2_too() {
    let (_server, [one, other]) = server_and_nodes().await;
    let short = BRIEF.grace(Duration::from_millis(50));
    leave_stale(&one, short, 7).await;
    let left = async || foreign(&one.client, &["PTTL", "tg:c:{thing:t1:1}"]).await.as_int().unwrap();
    poll_until(SOON, async || (left().await == -2).then_some(())).await.unwrap();
    let store = Store::default();
    assert_eq!(read(&things(&other, short), &store).await.source, Source::Loaded);
    // Redis keeps it for its whole time.
    leave_stale(&one, BRIEF, 7).await;
    let left = left().await;
    assert!((500_000..=600_001).contains(&left), "{left} ms");
}

#[tokio::test]
async fn an_invalidated_value_is_not_served_stale() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    for round in 1..=20 {
        leave_stale(&one, BRIEF, 0).await;
        store.row.store(round, Ordering::SeqCst);
        match round % 4 {
            0 => drop(one.cache.remove(&key(1)).await.unwrap()),
            1 => one.cache.invalidate_tag(&tag()).await.unwrap(),
            2 => drop(one.cache.invalidate_class("brief").await.unwrap()),
            _ => one.cache.clear().await.unwrap(),
        }
        let read = read(&things(&other, BRIEF), &store).await;
        assert_eq!(*read.value, round, "{:?}", read.source);
    }
}

/// The load behind a stale value continues when its tag is invalidated. Later callers wait for a
/// load of their own.
#[tokio::test]
async fn a_tag_invalidated_during_a_background_refresh_is_obeyed() {
    let (_server, [one, other]) = server_and_nodes().await;
    leave_stale(&one, BRIEF, 7).await;
    let (hanging, store) = (Store::slow(Duration::from_secs(3600)), Store::default());
    let there = things(&other, BRIEF);
    assert_eq!(read(&there, &hanging).await.source, Source::Stale);
    other.cache.invalidate_tag(&tag()).await.unwrap();
    store.row.store(8, Ordering::SeqCst);
    let fresh = read(&there, &store).await;
    assert_eq!((*fresh.value, fresh.source, store.reads()), (8, Source::Loaded, 1));
}

#[tokio::test]
async fn an_ended_load_of_a_stale_value_leaves_no_task() {
    let (_server, [one, other]) = server_and_nodes().await;
    let class = BRIEF.soft_timeout(Duration::from_secs(3600));
    let wanted: Vec<_> = (0..200).map(key).collect();
    things(&one, class).put_many(wanted.iter().map(|key| (key, 7))).await;
    sleep(Duration::from_millis(5)).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let there = things(&other, class);
    for key in &wanted[..100] {
        let read = there.fetch(key, async || Ok::<_, Infallible>(Fill::new(8))).await.unwrap();
        assert_eq!((*read.value, read.source), (8, Source::Loaded));
    }
    let load =
        async |keys: Vec<Key>| Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(8))).collect::<Vec<_>>());
    let reads = there.fetch_many(&wanted[100..], load).await;
    assert!(reads.into_iter().all(|read| *read.unwrap().unwrap().value == 8));
    poll_until(SOON, async || (tasks() < before + 50).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_stale_value_that_a_batch_only_read_is_loaded_by_the_next_reader() {
    let (_server, [one, other]) = server_and_nodes().await;
    leave_stale(&one, BRIEF, 7).await;
    let there = things(&other, BRIEF);
    assert_eq!(there.get_many([key(1)]).await, [Lookup::Stale(Arc::new(7))]);
    let store = Store::default();
    store.row.store(8, Ordering::SeqCst);
    assert_eq!(read(&there, &store).await.source, Source::Stale);
    poll_until(SOON, async || (store.reads() == 1).then_some(())).await.unwrap();
}
