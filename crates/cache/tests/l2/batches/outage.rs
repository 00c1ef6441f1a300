//! Batches while a server hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cache::{Json, Key, Lookup, Source};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, RedisServer};
use tokio::time::{Instant, sleep};

use super::{loader, many, values};
use crate::ground::{CLASS, Node, SOON, nodes_on, server_and_nodes};

#[tokio::test]
async fn a_redis_that_hangs_costs_a_batch_one_timeout_and_no_write_is_lost() {
    let mut server = RedisServer::start().await;
    let [one, other]: [Node; 2] = nodes_on(&format!("{}?timeout=2s", server.url())).await;
    other.things.put_many(many(0..1000).into_iter().map(|key| (key, 0))).await;
    server.hang().await;
    let started = Instant::now();
    let loaded = Arc::default();
    let reads = values(one.things.fetch_many(many(2000..3000), loader(0, &loaded)).await);
    assert!(reads.iter().all(|(_, source)| *source == Source::Loaded));
    // Two would be too many.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    // The patience of a batch may end just before its last command does, which shows the hang.
    one.until(|l2| !l2.is_available).await;
    let started = Instant::now();
    assert_eq!(one.things.get_many(many(0..1000)).await.iter().filter(|found| **found != Lookup::Miss).count(), 0);
    one.things.put_many(many(0..1000).into_iter().map(|key| (key, 1))).await;
    assert!(started.elapsed() < Duration::from_secs(2), "later ones wait for none: {:?}", started.elapsed());
    assert_eq!(one.cache.owed(), Some(1000));
    server.resume();
    one.until(|l2| l2.owed == 0 && l2.is_available).await;
    other.until(|l2| l2.is_available).await;
    poll_until(SOON, async || {
        other.outlive_l1();
        other.things.get_many(many(0..1000)).await.iter().all(|found| *found == Lookup::Miss).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_shard_that_hangs_does_not_affect_values_on_other_shards() {
    let mut cluster = Cluster::start().await;
    let [one, other]: [Node; 2] = nodes_on(&format!("{}?timeout=1s", cluster.url())).await;
    let epoch = cluster.primary_of(Client::slot_of("tg:ce:{e}")).await;
    let mut by_shard: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
    for key in many(0..40) {
        by_shard.entry(cluster.primary_of(Client::slot_of(key.as_str())).await).or_default().push(key);
    }
    // One without the epoch, without which nothing can be stored.
    let (hung, theirs) = by_shard.iter().find(|(shard, _)| **shard != epoch).unwrap();
    one.things.put_many(many(0..40).into_iter().map(|key| (key, 0))).await;
    cluster.nodes()[*hung].hang().await;
    one.things.put_many(many(0..40).into_iter().map(|key| (key, 1))).await;
    assert_eq!(one.cache.owed(), Some(theirs.len() as u64));
    cluster.nodes()[*hung].resume();
    one.until(|l2| l2.owed == 0).await;
    for key in many(0..40) {
        let is_hung = theirs.contains(&key);
        let found = poll_until(SOON, async || {
            other.outlive_l1();
            let found = other.things.get_many([&key]).await.remove(0);
            let expected = if is_hung { Lookup::Miss } else { Lookup::Fresh(1.into()) };
            (found == expected).then_some(())
        });
        found.await.unwrap_or_else(|_| panic!("{key}, on the shard that hung: {is_hung}"));
    }
}

/// The remembered epoch is renewed beside the values, even if its server alone hangs.
#[tokio::test]
async fn a_batch_waits_once_for_the_shard_of_the_epoch() {
    const PATIENCE: Duration = Duration::from_millis(900);
    let mut cluster = Cluster::start().await;
    let url = format!("{}?timeout=10s", cluster.url());
    let one = Node::start_in(&url, "tg", |tier| tier.patience(PATIENCE)).await;
    let epoch = cluster.primary_of(Client::slot_of("tg:ce:{e}")).await;
    let mut elsewhere = Vec::new();
    for key in many(0..20) {
        if cluster.primary_of(Client::slot_of(key.as_str())).await != epoch {
            elsewhere.push(key);
        }
    }
    // Its first reply about the epoch is too old, as if there had been no read for a while.
    sleep(Duration::from_secs(1)).await;
    one.outlive_l1();
    cluster.nodes()[epoch].hang().await;
    let started = Instant::now();
    assert!(one.things.get_many(&elsewhere).await.iter().all(|found| *found == Lookup::Miss));
    let waited = started.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE + PATIENCE * 2 / 3, "{waited:?}");
    cluster.nodes()[epoch].resume();
}

#[tokio::test]
async fn a_batch_read_obeys_the_hard_timeout() {
    let (mut server, [one]) = server_and_nodes().await;
    let class = CLASS.hard_timeout(Duration::from_millis(50));
    let things = one.cache.typed_with_codec::<u32>(class, Json::new());
    server.hang().await;
    let started = Instant::now();
    assert_eq!(things.get_many(many(0..3)).await, [Lookup::Miss, Lookup::Miss, Lookup::Miss]);
    // The client's own time-out is 5 s.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    server.resume();
}
