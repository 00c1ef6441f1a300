//! A value that is too large for L1 is in L2 alone, and its old value is in no tier.

use std::convert::Infallible;

use tidegate_cache::{Capacity, Fill, Json, Key, Lookup, RedisTier, Source, TieredCache, TypedCache};
use tidegate_redis::Keyspace;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::RedisServer;

use crate::ground::{CLASS, SOON, client, key, patient};

async fn node(url: &str, capacity: Capacity) -> TypedCache<String> {
    let tier = RedisTier::new(client(&patient(url)).await, &Keyspace::new("tg").unwrap());
    let cache = TieredCache::builder().capacity(capacity).l2(tier).build();
    let is_followed = async || cache.stats().tiers[1].is_followed.then_some(());
    poll_until(SOON, is_followed).await.unwrap();
    cache.typed_with_codec(CLASS, Json::new()).weigh(String::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_too_big_for_l1_is_stored_in_l2() {
    let server = RedisServer::start().await;
    let small = node(&server.url(), Capacity::Bytes(50_000)).await;
    let large = node(&server.url(), Capacity::Bytes(64 << 20)).await;
    let big = |letter: &str| letter.repeat(100_000);
    let seen = async |index: u32, expected: String| {
        assert_eq!(small.peek(&key(index)), Lookup::Miss, "L1 holds nothing of it, nor of what was there");
        for reader in [&small, &large] {
            let found =
                async || (reader.get(&key(index)).await.into_fresh().as_deref() == Some(&expected)).then_some(());
            poll_until(SOON, found).await.unwrap();
        }
        assert_eq!(small.peek(&key(index)), Lookup::Miss);
    };
    for index in 0..4 {
        assert!(small.put(&key(index), "old".to_owned()).await);
        assert_eq!(large.get(&key(index)).await.into_fresh().as_deref().map(String::as_str), Some("old"));
    }
    // A set.
    assert!(!small.put(&key(0), big("a")).await, "not in L1");
    seen(0, big("a")).await;
    // A batch of them.
    let kept = small.put_many([(key(1), big("b")), (key(2), "new".to_owned())]).await;
    assert_eq!(kept, [false, true]);
    seen(1, big("b")).await;
    // A write-through.
    let value = big("c");
    let written = small.write_through(&key(3), async move || Ok::<_, Infallible>(Fill::new(value))).await.unwrap();
    assert!(written.cached, "in L2");
    seen(3, big("c")).await;
    // Values of loads, of one key and of several.
    let value = big("d");
    let read = small.fetch(&key(10), async move || Ok::<_, Infallible>(Fill::new(value))).await.unwrap();
    assert_eq!((read.source, read.stored), (Source::Loaded, false));
    seen(10, big("d")).await;
    let value = big("e");
    let load = async move |missing: Vec<Key>| {
        Ok::<_, Infallible>(missing.into_iter().map(|key| (key, Fill::new(value.clone()))).collect::<Vec<_>>())
    };
    small.fetch_many([key(11)], load).await;
    seen(11, big("e")).await;
    let again = async || Ok::<_, Infallible>(Fill::new(String::new()));
    assert_eq!(small.fetch(&key(11), again).await.unwrap().source, Source::Shared);
}
