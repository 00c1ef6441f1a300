//! Expiry by hand: the fallback in both tiers, and expiries that Redis could not be notified of.

use std::convert::Infallible;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Lookup, Source, TtlClass, TypedCache};
use tidegate_redis::Value;
use tidegate_testkit::poll_until;

use crate::ground::{Node, SOON, foreign, key, keys, nodes_on, server_and_nodes};
use tidegate_testkit::redis::RedisServer;

const GRACE: Duration = Duration::from_secs(60);
const KIND: TtlClass = TtlClass::new("kind", Duration::from_secs(600)).grace(GRACE);

fn handle(node: &Node) -> TypedCache<u32> {
    node.cache.typed_with_codec(KIND, Json::new())
}

async fn until_stale(node: &TypedCache<u32>) {
    let is_stale = async || (node.get(&key(1)).await == Lookup::Stale(7.into())).then_some(());
    poll_until(SOON, is_stale).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_value_keeps_its_grace_on_the_nodes_that_know_of_the_expiry() {
    let (_server, [one, other]) = server_and_nodes().await;
    let (here, there) = (handle(&one), handle(&other));
    here.put(&key(1), 7).await;
    assert_eq!(there.get(&key(1)).await, Lookup::Fresh(7.into()));
    here.expire(&key(1)).await.unwrap();
    assert_eq!(here.peek(&key(1)), Lookup::Stale(7.into()));
    for name in keys(&one.client).await.iter().filter(|name| name.contains("thing")) {
        let left = foreign(&one.client, &["PTTL", name]).await.as_int().unwrap();
        assert!(left > 0 && left <= 60_000, "{name}: {left}");
    }
    // A node that has a later notice has this one too, and has compared.
    here.put(&key(2), 1).await;
    until_stale(&there).await;
    there.put(&key(2), 2).await;
    let has_heard = async || (here.peek(&key(2)) != Lookup::Fresh(1.into())).then_some(());
    poll_until(SOON, has_heard).await.unwrap();
    assert_eq!(here.peek(&key(1)), Lookup::Stale(7.into()), "it holds what L2 holds");
    // Its grace is over, by this node's clock.
    one.clock.advance(GRACE);
    assert_eq!(here.peek(&key(1)), Lookup::Miss);
}

#[tokio::test]
async fn an_expiry_that_cannot_reach_redis_is_sent_later() {
    let mut server = RedisServer::start().await;
    let [one, other] = nodes_on(&server.url()).await;
    let (here, there) = (handle(&one), handle(&other));
    here.put(&key(1), 7).await;
    assert_eq!(there.get(&key(1)).await, Lookup::Fresh(7.into()));
    server.hang().await;
    assert_eq!(here.expire(&key(1)).await.unwrap_err().removed, 1);
    assert_eq!((here.peek(&key(1)), one.cache.owed()), (Lookup::Stale(7.into()), Some(1)));
    server.resume();
    one.until(|l2| l2.owed == 0 && l2.is_available).await;
    until_stale(&there).await;
}

/// Bytes of another program under a key of the cache are no entry, and go.
#[tokio::test]
async fn a_foreign_value_is_removed_when_it_is_expired() {
    let (_server, [one]) = server_and_nodes().await;
    let here = handle(&one);
    here.put(&key(1), 7).await;
    let all = keys(&one.client).await;
    let name = all.iter().find(|name| name.contains("thing")).unwrap();
    for bytes in ["", "\u{3}", "\u{3}12345678", "foreign and long enough to be read as one"] {
        foreign(&one.client, &["SET", name, bytes]).await;
        here.expire(&key(1)).await.unwrap();
        let left = foreign(&one.client, &["PTTL", name]).await;
        assert_eq!(left, Value::Int(-2), "{bytes:?}");
    }
}

/// An expired value that only L1 has is the expired one. The notice removes it from the others, not
/// from the node that expired it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_expires_a_value_keeps_it_even_if_redis_never_had_it() {
    let (_server, [one, other]) = server_and_nodes().await;
    let (here, there) = (one.cache.typed::<u32>(KIND), other.cache.typed::<u32>(KIND));
    for node in [&here, &there] {
        node.fetch(&key(1), async || Ok::<_, Infallible>(Fill::new(7))).await.unwrap();
    }
    let marker = handle(&one);
    marker.put(&key(2), 1).await;
    here.expire(&key(1)).await.unwrap();
    let is_gone = async || (there.peek(&key(1)) == Lookup::Miss).then_some(());
    poll_until(SOON, is_gone).await.unwrap();
    // A node that has a later notice has this one too, and has compared.
    handle(&other).put(&key(2), 2).await;
    let has_heard = async || (marker.peek(&key(2)) != Lookup::Fresh(1.into())).then_some(());
    poll_until(SOON, has_heard).await.unwrap();
    assert_eq!(here.peek(&key(1)), Lookup::Stale(7.into()));
    let read = here.fetch(&key(1), async || Err::<Fill<u32>, _>("no")).await.unwrap();
    assert_eq!((*read.value, read.source), (7, Source::Stale));
    // Changes of the key by others apply to it as before.
    there.remove(&key(1)).await.unwrap();
    let is_gone = async || (here.peek(&key(1)) == Lookup::Miss).then_some(());
    poll_until(SOON, is_gone).await.unwrap();
}

/// A clock that is set back, of this server or of the next primary, gives an expired entry a longer
/// life.
#[tokio::test]
async fn an_expired_value_stays_stale_when_a_clock_is_set_back() {
    let (_server, [one, other]) = server_and_nodes().await;
    let (here, there) = (handle(&one), handle(&other));
    here.put(&key(1), 7).await;
    here.expire(&key(1)).await.unwrap();
    let all = keys(&one.client).await;
    let name = all.iter().find(|name| name.contains("thing")).unwrap();
    let set_back = async || {
        let date = foreign(&one.client, &["GETRANGE", name, "-16", "-1"]).await.into_text().unwrap();
        let length = foreign(&one.client, &["STRLEN", name]).await.as_int().unwrap();
        let later = format!("{:016}", date.parse::<u64>().unwrap() + 5_000_000);
        foreign(&one.client, &["SETRANGE", name, &(length - 16).to_string(), &later]).await;
        foreign(&one.client, &["PEXPIRE", name, "65000"]).await;
    };
    set_back().await;
    assert_eq!(there.get(&key(1)).await, Lookup::Stale(7.into()));
    // Once more changes nothing.
    here.expire(&key(1)).await.unwrap();
    assert_eq!(there.get(&key(1)).await, Lookup::Stale(7.into()));
    assert!(foreign(&one.client, &["PTTL", name]).await.as_int().unwrap() <= 60_000);
}
