//! Cost of the steps for Redis, counted by Redis.

use std::collections::BTreeMap;

use tidegate_cache::{Source, Tag};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::scale;

use crate::ground::{Store, server_and_nodes, tag};

/// Calls of each command since the counts were reset.
async fn calls(server: &RedisServer) -> BTreeMap<String, u64> {
    let text = server.cli(&["INFO", "commandstats"]).await;
    let counted = text.lines().filter_map(|line| {
        let (name, counts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), counts.split(',').next()?.parse().ok()?))
    });
    counted.collect()
}

#[tokio::test]
async fn a_tag_of_many_entries_is_invalidated_in_one_round_trip() {
    const STEP: usize = 20_000;
    let entries = scale(20_000, 1_000_000);
    let (server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    one.read(0, &store).await;
    // This number of copies of a real entry that carries the tag.
    let copy = "local entry = redis.call('GET', 'tg:c:{thing:t1:0}') \
        for i = ARGV[1], ARGV[2] do redis.call('SET', 'tg:c:{thing:t1:' .. i .. '}', entry, 'PX', 600000) end return 1";
    for from in (1..=entries).step_by(STEP) {
        let to = (from + STEP - 1).min(entries);
        assert_eq!(server.cli(&["EVAL", copy, "0", &from.to_string(), &to.to_string()]).await, "1");
    }
    let sample: Vec<u32> = (0..200).map(|_| rand::random_range(1..=u32::try_from(entries).unwrap())).collect();
    for index in &sample {
        assert!(matches!(other.read(*index, &store).await.source, Source::Shared | Source::Hit));
    }
    // So that the server knows the script.
    one.cache.invalidate_tag(&Tag::new("other")).await.unwrap();

    server.cli(&["CONFIG", "RESETSTAT"]).await;
    one.cache.invalidate_tag(&tag()).await.unwrap();
    let calls = calls(&server).await;
    println!("{entries} entries: {calls:?}");
    assert_eq!((calls.get("evalsha"), calls.get("eval")), (Some(&1), None));
    // In the script, and by heartbeats and probes meanwhile. Entries cause no calls.
    assert!(calls.values().sum::<u64>() < 60, "{calls:?}");

    let loads = store.reads();
    one.outlive_l1();
    for index in &sample {
        one.read(*index, &store).await;
    }
    let different: std::collections::BTreeSet<_> = sample.iter().collect();
    assert_eq!(store.reads() - loads, u32::try_from(different.len()).unwrap(), "none of them is believed");
}

#[tokio::test]
async fn invalidating_a_hundred_tags_is_one_round_trip_too() {
    let (server, [one]) = server_and_nodes().await;
    let touched = (0..100).fold(tidegate_cache::Touched::new(), |touched, tag| touched.tag(&Tag::new(tag)));
    one.cache.invalidate(&touched).await.unwrap();
    server.cli(&["CONFIG", "RESETSTAT"]).await;
    one.cache.invalidate(&touched).await.unwrap();
    assert_eq!(calls(&server).await.get("evalsha"), Some(&1));
}
