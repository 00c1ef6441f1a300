//! The same on a cluster, and through Sentinel over a failover.

use std::sync::atomic::Ordering;

use tidegate_cache::{Pattern, Source};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, RedisServer, Sentinels};

use crate::ground::{Node, SOON, Store, client, foreign, key, nodes_on, patient, tag};

/// Keys in many slots.
const KEYS: u32 = 60;

async fn read_all(node: &Node, store: &Store) {
    for index in 0..KEYS {
        node.read(index, store).await;
    }
}

async fn until_none(node: &Node) {
    poll_until(SOON, async || (0..KEYS).all(|index| !node.has(index)).then_some(())).await.unwrap();
}

async fn everything_works(one: &Node, other: &Node, stranger: &Client) {
    let store = Store::default();
    for round in 0..4 {
        let loads = store.reads();
        read_all(one, &store).await;
        read_all(other, &store).await;
        assert_eq!(store.reads(), loads + KEYS, "round {round}");
        match round {
            0 => one.cache.invalidate_tag(&tag()).await.unwrap(),
            1 => one.cache.clear().await.unwrap(),
            2 => drop(one.cache.invalidate_pattern(&Pattern::parse("thing:*").unwrap()).await.unwrap()),
            _ => {
                for index in 0..KEYS {
                    foreign(stranger, &["DEL", &format!("tg:c:{{thing:t1:{index}}}")]).await;
                }
            }
        }
        until_none(other).await;
        until_none(one).await;
    }
    assert_eq!((one.l2().errors, other.l2().errors), (0, 0), "{:?}", one.listener.0);
}

#[tokio::test]
async fn on_a_cluster() {
    let cluster = Cluster::start().await;
    let url = patient(&cluster.url());
    let [one, other] = nodes_on(&url).await;
    everything_works(&one, &other, &client(&url).await).await;
}

#[tokio::test]
async fn through_sentinel_and_over_a_failover() {
    let mut sentinels = Sentinels::start().await;
    let url = patient(&sentinels.url());
    let [one, other] = nodes_on(&url).await;
    everything_works(&one, &other, &client(&url).await).await;
    let store = Store::default();
    sentinels.failover().await;
    one.clear_at_last(&store).await;
    for node in [&one, &other] {
        node.until(|l2| l2.owed == 0 && l2.is_followed && l2.is_available).await;
    }
    poll_until(SOON, async || {
        one.outlive_l1();
        let read = one.read(500, &store).await;
        (read.source == Source::Shared).then_some(())
    })
    .await
    .unwrap();
}

/// How often a server has been scanned.
async fn scans(server: &RedisServer) -> u64 {
    let text = server.cli(&["INFO", "commandstats"]).await;
    let count = text.lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls=")?.split(',').next()?.parse().ok());
    count.unwrap_or_default()
}

/// A walk over the nodes of a cluster has passed one of them when a slot moves there from one that
/// it has not reached.
#[tokio::test]
async fn a_pattern_finds_keys_that_move_during_the_scan() {
    let mut cluster = Cluster::start().await;
    let [one] = nodes_on(&patient(&cluster.url())).await;
    let store = Store::default();
    read_all(&one, &store).await;
    let slot_of = |index: u32| Client::slot_of(&format!("tg:c:{{{}}}", key(index).as_str()));
    let index = (0..KEYS).find(|index| slot_of(*index) > 10_922).unwrap();
    assert!((0..KEYS).any(|index| (5_461..10_923).contains(&slot_of(index))));
    store.row.store(1, Ordering::SeqCst);
    // The second node answers scans and deletes nothing for now.
    cluster.nodes()[1].cli(&["CLIENT", "PAUSE", "4000", "WRITE"]).await;
    let before = scans(&cluster.nodes()[0]).await;
    let pattern = Pattern::parse("thing:*").unwrap();
    let (told, ()) = tokio::join!(one.cache.invalidate_pattern(&pattern), async {
        let nodes = cluster.nodes();
        // The first one has been walked over for fences and for values.
        poll_until(SOON, async || (scans(&nodes[0]).await >= before + 2).then_some(())).await.unwrap();
        cluster.migrate_slot(slot_of(index), 0).await;
        cluster.nodes()[1].cli(&["CLIENT", "UNPAUSE"]).await;
    });
    told.unwrap();
    assert_eq!(cluster.primary_of(slot_of(index)).await, 0);
    for index in 0..KEYS {
        let read = one.read(index, &store).await;
        assert_eq!((read.source, *read.value), (Source::Loaded, 1), "{index}");
    }
}
