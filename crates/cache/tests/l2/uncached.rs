//! Values that no tier keeps, while Redis can be reached and while it cannot.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tidegate_cache::{Fill, Json, Key, Lookup, Source, TtlClass, TypedCache};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;
use tokio::sync::{Barrier, Notify};
use tokio::time::timeout;

use crate::ground::{Node, SOON, foreign, key, keys, nodes_on, patient, server_and_nodes};

const NEVER: TtlClass = TtlClass::new("never", Duration::ZERO);
const KIND: TtlClass = TtlClass::new("kind", Duration::from_secs(600)).grace(Duration::from_secs(600));

/// A value that counts as stale from the next moment on.
fn brief(value: u32) -> Fill<u32> {
    Fill::new(value).ttl(Duration::from_millis(1))
}

async fn load_uncached(things: &TypedCache<u32>, index: u32) {
    let read = things.fetch(&key(index), async || Ok::<_, Infallible>(Fill::new(7).uncached())).await.unwrap();
    assert_eq!((*read.value, read.source, read.stored), (7, Source::Loaded, false));
}

/// Until L2 keeps the value only for its grace.
async fn until_stale(node: &Node, name: &str) {
    let is_stale = async || {
        let left = foreign(&node.client, &["PTTL", name]).await.as_int().unwrap();
        (1..600_000).contains(&left).then_some(())
    };
    poll_until(SOON, is_stale).await.unwrap();
}

#[tokio::test]
async fn reads_of_uncached_values_leave_no_invalidation_to_send_in_an_outage() {
    let mut server = RedisServer::start().await;
    let [one] = nodes_on::<1>(&server.url()).await;
    let [never, kind] = [NEVER, KIND].map(|class| one.cache.typed_with_codec::<u32>(class, Json::new()));
    one.things.put(&key(1), 1).await;
    server.hang().await;
    for index in 100..110 {
        load_uncached(&never, index).await;
        load_uncached(&kind, index + 100).await;
    }
    let load = async |missing: Vec<Key>| {
        Ok::<_, Infallible>(missing.into_iter().map(|key| (key, Fill::new(7).uncached())).collect::<Vec<_>>())
    };
    let reads = never.fetch_many((300..310).map(key).collect::<Vec<_>>(), load).await;
    assert!(reads.into_iter().all(|read| !read.unwrap().unwrap().stored));
    assert_eq!(one.cache.owed(), Some(0));
    server.resume();
    one.until(|l2| l2.is_available).await;
    assert!(one.things.get(&key(1)).await.is_hit(), "no other value was invalidated");
}

#[tokio::test]
async fn the_invalidation_of_a_cached_value_is_sent_after_an_outage() {
    let mut server = RedisServer::start().await;
    let [one, other] = nodes_on::<2>(&server.url()).await;
    let kind = |node: &Node| node.cache.typed_with_codec::<u32>(KIND, Json::new());
    let [here, there] = [kind(&one), kind(&other)];
    here.put(&key(1), 1).await;
    assert!(there.get(&key(1)).await.is_hit());
    // Past its time here, but not there.
    one.clock.advance(Duration::from_secs(61));
    server.hang().await;
    let uncached = async || Ok::<_, Infallible>(Fill::new(7).uncached());
    assert_eq!(here.fetch(&key(1), uncached).await.unwrap().source, Source::Stale);
    one.until(|l2| l2.owed == 1).await;
    server.resume();
    one.until(|l2| l2.owed == 0).await;
    let is_gone = async || (there.get(&key(1)).await == Lookup::Miss).then_some(());
    poll_until(SOON, is_gone).await.unwrap();
}

/// The fence of a slow load has run out by its end, alone and in a batch.
#[tokio::test]
async fn an_uncached_value_is_removed_even_if_its_fence_expired() {
    let server = RedisServer::start().await;
    let url = patient(&server.url());
    let node = async || Node::start_in(&url, "tg", |tier| tier.fence(Duration::from_millis(50))).await;
    let (one, other) = (node().await, node().await);
    let kind = |node: &Node| node.cache.typed_with_codec::<u32>(KIND.soft_timeout(SOON), Json::new());
    let [here, there] = [kind(&one), kind(&other)];
    let value_of = |index: u32| {
        let client = one.client.clone();
        async move { keys(&client).await.into_iter().find(|name| *name == format!("tg:c:{{thing:t1:{index}}}")) }
    };
    for index in 1..4 {
        here.put(&key(index), brief(index)).await;
        until_stale(&one, &value_of(index).await.unwrap()).await;
    }
    let (begun, over) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let fences_end = async || {
        begun.notified().await;
        let is_over = async || keys(&one.client).await.iter().all(|name| !name.starts_with("tg:cf:")).then_some(());
        poll_until(SOON, is_over).await.unwrap();
        over.notify_one();
    };
    let slow = {
        let (begun, over) = (Arc::clone(&begun), Arc::clone(&over));
        async move || {
            begun.notify_one();
            over.notified().await;
            Ok::<_, Infallible>(Fill::new(7).uncached())
        }
    };
    let first = key(1);
    let (read, ()) = join(there.fetch(&first, slow), fences_end()).await;
    let read = read.unwrap();
    assert_eq!((*read.value, read.stored), (7, false));
    assert_eq!(value_of(1).await, None);
    let slow = {
        let (begun, over) = (Arc::clone(&begun), Arc::clone(&over));
        async move |missing: Vec<Key>| {
            begun.notify_one();
            over.notified().await;
            let fill = |key: Key| {
                let is_second = key == self::key(2);
                (key, if is_second { Fill::new(7).uncached() } else { Fill::new(8) })
            };
            Ok::<_, Infallible>(missing.into_iter().map(fill).collect::<Vec<_>>())
        }
    };
    let (reads, ()) = join(there.fetch_many([key(2), key(3)], slow), fences_end()).await;
    assert!(reads.iter().all(Result::is_ok));
    let is_gone = async || value_of(2).await.is_none().then_some(());
    poll_until(SOON, is_gone).await.unwrap();
}

/// A value above an L2 that is kept in memory alone is removed from the memory of others as well.
#[tokio::test]
async fn an_uncached_value_of_a_handle_without_codec_is_removed_everywhere() {
    let (_server, [one, other]) = server_and_nodes::<2>().await;
    let [here, there] = [&one, &other].map(|node| node.cache.typed::<u32>(KIND.soft_timeout(SOON)));
    for index in 1..4 {
        here.put(&key(index), brief(1)).await;
        there.put(&key(index), 2).await;
    }
    // Its time is over here, by this node's clock.
    one.clock.advance(Duration::from_secs(1));
    let read = here.fetch(&key(1), async || Ok::<_, Infallible>(Fill::new(7).uncached())).await.unwrap();
    assert_eq!((*read.value, read.stored), (7, false));
    let load = async |missing: Vec<Key>| {
        Ok::<_, Infallible>(missing.into_iter().map(|key| (key, Fill::new(7).uncached())).collect::<Vec<_>>())
    };
    drop(here.fetch_many([key(2), key(3)], load).await);
    for index in 1..4 {
        let is_gone = async || (there.peek(&key(index)) == Lookup::Miss).then_some(());
        poll_until(SOON, is_gone).await.unwrap();
    }
}

/// Each load waits for the others to have begun.
#[tokio::test]
async fn a_class_without_a_lifetime_waits_for_no_other_process() {
    let server = RedisServer::start().await;
    let url = patient(&server.url());
    let node = async || Node::start_in(&url, "tg", |tier| tier.wait(SOON * 10)).await;
    let nodes = [node().await, node().await, node().await];
    let all_begun = Arc::new(Barrier::new(nodes.len()));
    let handles = nodes.map(|node| node.cache.typed_with_codec::<u32>(NEVER, Json::new()));
    let loads = handles.iter().map(|never| {
        let all_begun = Arc::clone(&all_begun);
        let load = async move || {
            all_begun.wait().await;
            Ok::<_, Infallible>(Fill::new(7))
        };
        async move { never.fetch(&key(1), load).await.unwrap() }
    });
    let reads = timeout(SOON, join_all(loads)).await.unwrap();
    assert!(reads.iter().all(|read| *read.value == 7 && !read.stored));
}
