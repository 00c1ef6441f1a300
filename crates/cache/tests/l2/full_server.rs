//! A server that has reached `maxmemory` and does not evict: it accepts no more values, but runs
//! all that frees, renews or ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Key, Lookup, TtlClass};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{RedisServer, redis_cli};
use tokio::sync::Semaphore;

use crate::ground::{Node, SOON, key, server_and_nodes};

const FULL: &[&str] = &["CONFIG", "SET", "maxmemory", "1"];
const ROOM: &[&str] = &["CONFIG", "SET", "maxmemory", "0"];
const KIND: TtlClass = TtlClass::new("kind", Duration::from_secs(600)).grace(Duration::from_secs(60));

async fn values(server: &RedisServer) -> String {
    server.cli(&["KEYS", "tg:c:*"]).await
}

/// The number of operations that were refused since the last call, all by a full server.
fn refusals(node: &Node) -> usize {
    let heard = std::mem::take(&mut *node.listener.0.lock().unwrap());
    assert!(heard.iter().all(|event| event.contains("OOM") && event.contains("has reached maxmemory")), "{heard:?}");
    heard.len()
}

/// The scripts delete a fence first. Without a flag the server would then accept all that follows.
#[tokio::test]
async fn a_full_server_stores_nothing() {
    let (server, [node]) = server_and_nodes().await;
    // The epoch is there, so only the store itself can be refused.
    node.things.put(&key(9), 9).await;
    node.cache.remove(&key(9)).await.unwrap();
    server.cli(FULL).await;
    node.things.put(&key(1), 1).await;
    assert_eq!((values(&server).await.as_str(), refusals(&node)), ("", 1));
    node.things.put_many([(key(1), 1), (key(2), 2)]).await;
    assert_eq!((values(&server).await.as_str(), refusals(&node)), ("", 1));
    node.until(|l2| l2.owed == 0).await;

    // Its memory ran out while these loads were in progress.
    node.cache.clear().await.unwrap();
    for single in [true, false] {
        server.cli(ROOM).await;
        let port = server.port();
        let fill = async move || {
            redis_cli(port, FULL).await;
        };
        if single {
            let load = async move || {
                fill().await;
                Ok::<_, Infallible>(Fill::new(3))
            };
            assert_eq!(*node.things.fetch(&key(3), load).await.unwrap().value, 3);
        } else {
            let load = async move |keys: Vec<Key>| {
                fill().await;
                Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(4))).collect::<Vec<_>>())
            };
            node.things.fetch_many([key(4), key(5)], load).await;
        }
        assert_eq!((values(&server).await.as_str(), refusals(&node)), ("", 1), "{single}");
    }
    // A new load may take no fence, and loads by itself.
    let read = node.things.fetch(&key(6), async || Ok::<_, Infallible>(Fill::new(6))).await.unwrap();
    assert_eq!(*read.value, 6);
    assert!(refusals(&node) > 0);
    server.cli(ROOM).await;
    node.things.put(&key(1), 1).await;
    assert!(values(&server).await.contains("thing:t1:1"));
}

#[tokio::test]
async fn a_full_server_lets_values_expire_and_loads_end() {
    let (server, [node, other]) = server_and_nodes().await;
    let (here, there) =
        (node.cache.typed_with_codec::<u32>(KIND, Json::new()), other.cache.typed_with_codec(KIND, Json::new()));
    here.put(&key(1), 1).await;
    here.put(&key(2), 2).await;
    // A load is in progress when the memory runs out: it still renews its fence, and gives it back.
    let fence = "tg:cf:{thing:t1:3}";
    let is_over = Arc::new(Semaphore::new(0));
    let waits = is_over.clone();
    let load = async move || {
        waits.acquire().await.unwrap().forget();
        Err::<Fill<u32>, _>("no")
    };
    let is_taken = async || (server.cli(&["EXISTS", fence]).await == "1").then_some(());
    let left = async || server.cli(&["PTTL", fence]).await.parse::<u64>().unwrap();
    let steps = async {
        poll_until(SOON, is_taken).await.unwrap();
        server.cli(FULL).await;
        assert_eq!(server.cli(&["PEXPIRE", fence, "60000"]).await, "1");
        poll_until(SOON, async || (left().await > 60_000).then_some(())).await.unwrap();
        is_over.add_permits(1);
    };
    let third = key(3);
    let (read, ()) = tokio::join!(here.fetch(&third, load), steps);
    read.unwrap_err();
    let is_gone = async || (server.cli(&["EXISTS", fence]).await == "0").then_some(());
    poll_until(SOON, is_gone).await.unwrap();

    // So does a load whose value is not kept.
    server.cli(ROOM).await;
    let port = server.port();
    let load = async move || {
        redis_cli(port, FULL).await;
        Ok::<_, Infallible>(Fill::new(3).uncached())
    };
    here.fetch(&third, load).await.unwrap();
    assert_eq!(server.cli(&["EXISTS", fence]).await, "0");

    here.expire(&key(1)).await.unwrap();
    assert_eq!(there.get(&key(1)).await, Lookup::Stale(1.into()));
    node.cache.expire_many(&[key(1), key(2)]).await.unwrap();
    assert_eq!(there.get(&key(2)).await, Lookup::Stale(2.into()));
    assert_eq!(refusals(&node) + refusals(&other), 0);
}
