//! Lifetimes through L2: refreshed ahead, absent, confirmed by the source; and one deadline over
//! all of it.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Known, LoadError, Lookup, Source, TtlClass, TypedCache};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use crate::ground::{CLASS, Node, SOON, Store, foreign, key, keys, nodes_on, server_and_nodes, tag};

/// Held long enough in L1 that it is there when the last part of its life begins.
const AHEAD: TtlClass = CLASS.l1_ttl(Duration::from_secs(500)).refresh_ahead(Duration::from_secs(200));

async fn read(things: &TypedCache<u32>, store: &Store) -> (u32, Source) {
    let store = store.clone();
    let load = async move || Ok::<_, Infallible>(Fill::new(store.read().await).tag(tag()));
    let read = things.fetch(&key(1), load).await.unwrap();
    (*read.value, read.source)
}

#[tokio::test]
async fn a_refresh_ahead_replaces_the_value_in_l2_and_runs_once_for_all_nodes() {
    let (_server, nodes) = server_and_nodes::<3>().await;
    let store = Store::slow(Duration::from_millis(400));
    let things = nodes.each_ref().map(|node| node.cache.typed_with_codec::<u32>(AHEAD, Json::new()));
    for things in &things {
        read(things, &store).await;
    }
    assert_eq!(store.reads(), 1);
    store.row.store(1, Ordering::SeqCst);
    for node in &nodes {
        node.clock.advance(Duration::from_secs(401));
    }
    // Each node reads a value that is still fresh, and begins to replace it.
    for things in &things {
        assert_eq!(read(things, &store).await, (0, Source::Hit));
    }
    for things in &things {
        poll_until(SOON, async || (read(things, &store).await.0 == 1).then_some(())).await.unwrap();
    }
    assert_eq!(store.reads(), 2);
}

#[tokio::test]
async fn absence_lives_for_its_own_time_in_l2() {
    let (_server, [one, other]) = server_and_nodes().await;
    let class = CLASS.negative_ttl(Duration::from_secs(30));
    let load = async || Ok::<_, Infallible>(Fill::absent());
    let [mine, theirs] = [&one, &other].map(|node| node.cache.typed_with_codec::<Option<u32>>(class, Json::new()));
    assert_eq!(*mine.fetch(&key(1), load).await.unwrap().value, None);
    let read = theirs.fetch(&key(1), load).await.unwrap();
    assert_eq!((*read.value, read.source), (None, Source::Shared));
    assert!(read.fresh_for <= Duration::from_secs(30));
    let (mut shortest, all) = (i64::MAX, keys(&one.client).await);
    for name in all.iter().filter(|name| name.contains("thing")) {
        shortest = shortest.min(foreign(&one.client, &["PTTL", name]).await.as_int().unwrap());
    }
    assert!((1..=30_000).contains(&shortest), "{shortest} ms: {all:?}");
}

#[tokio::test]
async fn a_confirmed_value_is_extended_in_l2() {
    let (_server, [one, other]) = server_and_nodes().await;
    let class = CLASS.grace(Duration::from_secs(600)).l2_ttl(Duration::from_secs(300));
    let [mine, theirs] = [&one, &other].map(|node| node.cache.typed_with_codec::<u32>(class, Json::new()));
    let load = async |known: Option<Known<u32>>| {
        let fill = known.map_or_else(|| Fill::new(7).tag(tag()), Known::still_holds);
        Ok::<_, Infallible>(fill)
    };
    let first = mine.fetch_or_revalidate(&key(1), load).await.unwrap();
    one.outlive_l1();
    for name in keys(&one.client).await.iter().filter(|name| name.contains("thing")) {
        foreign(&one.client, &["DEL", name]).await; // as if its time in L2 were over
    }
    // The deletion is noticed too. Whichever comes first, the value of L1 is revalidated or loaded,
    // and L2 has it again.
    mine.fetch_or_revalidate(&key(1), load).await.unwrap();
    poll_until(SOON, async || {
        let read = theirs.fetch(&key(1), async || Err::<Fill<u32>, _>("nothing in L2")).await;
        read.is_ok_and(|read| *read.value == *first.value).then_some(())
    })
    .await
    .unwrap();
    one.cache.invalidate_tag(&tag()).await.unwrap();
    poll_until(SOON, async || (theirs.peek(&key(1)) == Lookup::Miss).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_new_process_revalidates_values_of_its_predecessor() {
    let (_server, [one, other]) = server_and_nodes().await;
    let class = TtlClass::new("brief", Duration::from_millis(1)).grace(Duration::from_secs(600));
    let [mine, theirs] = [&one, &other].map(|node| node.cache.typed_with_codec::<u32>(class, Json::new()));
    assert!(mine.put(&key(1), Fill::new(7).tag(tag())).await);
    tokio::time::sleep(Duration::from_millis(5)).await; // as long as it lives in Redis, and longer
    let load = async |known: Option<Known<u32>>| {
        let known = known.ok_or("nothing known")?;
        let value = **known.value();
        assert_eq!(known.still_holds(), Fill::new(7).tag(tag()));
        Ok::<_, &str>(Fill::new(value + 1).ttl(Duration::from_secs(600)))
    };
    let read = theirs.fetch_or_revalidate(&key(1), load).await.unwrap();
    assert_eq!((*read.value, read.source), (7, Source::Stale));
    poll_until(SOON, async || (theirs.peek(&key(1)) == Lookup::Fresh(8.into())).then_some(())).await.unwrap();
}

#[tokio::test]
async fn the_hard_timeout_bounds_l2_and_loader_together() {
    let mut server = RedisServer::start().await;
    let [node]: [Node; 1] = nodes_on(&server.url()).await;
    let things = node.cache.typed_with_codec(CLASS.hard_timeout(Duration::from_millis(20)), Json::new());
    server.hang().await;
    // L2 alone may take 250 ms.
    let load = async || Ok::<_, Infallible>(Fill::new(7_u32));
    assert!(matches!(things.fetch(&key(1), load).await, Err(LoadError::TimedOut)));
    poll_until(SOON, async || things.peek(&key(1)).into_value()).await.unwrap();
    assert_eq!(node.cache.stats().classes.iter().map(|class| class.loads).sum::<u64>(), 1);
    server.resume();
}

#[tokio::test]
async fn absence_has_a_short_grace_in_l2_for_all_readers() {
    let (_server, [one, other]) = server_and_nodes().await;
    let class = CLASS.grace(Duration::from_secs(3600)).negative_ttl(Duration::from_secs(60));
    let [here, there] = [&one, &other].map(|node| node.cache.typed_with_codec::<Option<u32>>(class, Json::new()));
    here.put(&key(1), Fill::absent()).await;
    assert_eq!(there.get(&key(1)).await, Lookup::Fresh(None.into()));
    let shared_hits =
        |node: &Node| node.cache.stats().classes.iter().map(|class| class.shared_hits).collect::<Vec<_>>();
    assert_eq!((shared_hits(&one), shared_hits(&other)), (vec![0], vec![1]));
    for name in keys(&one.client).await.iter().filter(|name| name.contains("thing")) {
        let left = foreign(&one.client, &["PTTL", name]).await.as_int().unwrap();
        assert!(left > 60_000 && left <= 120_000, "{name}: {left}");
    }
    other.clock.advance(Duration::from_secs(60));
    assert_eq!(there.peek(&key(1)), Lookup::Stale(None.into()));
    other.clock.advance(Duration::from_secs(60));
    assert_eq!(there.peek(&key(1)), Lookup::Miss);
    // Believed for less than that, it is served stale for less.
    here.put(&key(2), Fill::absent().ttl(Duration::from_secs(20))).await;
    for name in keys(&one.client).await.iter().filter(|name| name.contains("thing:t1:2")) {
        let left = foreign(&one.client, &["PTTL", name]).await.as_int().unwrap();
        assert!(left > 20_000 && left <= 40_000, "{name}: {left}");
    }
}
