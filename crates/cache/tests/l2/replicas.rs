//! Values are read from replicas, and none that was invalidated is, however far behind they are.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Pattern, RedisTier, Source, TtlClass};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, RedisServer, Relay, Sentinels};
use tokio::time::Instant;

use crate::ground::{Node, SOON, Store, key, patient, tag};

/// Long enough that a replica that stops is read on if nothing forbids it.
const WINDOW: Duration = Duration::from_secs(2);

/// A node that reads from replicas.
async fn node(url: &str, window: Duration) -> Node {
    Node::start_in(&patient(url), "tg", |tier| tier.lag_window(window)).await
}

async fn replicated() -> (RedisServer, RedisServer) {
    let primary = RedisServer::start().await;
    let replica = RedisServer::builder().replica_of(&primary).start().await;
    (primary, replica)
}

/// Reads the value of L2 until a replica answers.
async fn until_a_replica_answers(node: &Node, index: u32, store: &Store) {
    poll_until(SOON, async || {
        let before = node.l2().from_replicas;
        node.outlive_l1();
        node.read(index, store).await;
        (node.l2().from_replicas > before).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn values_are_read_from_a_replica_singly_and_in_batches() {
    let (primary, _replica) = replicated().await;
    let [one, other] = [node(&primary.url(), Duration::from_millis(500)).await, Node::start(&primary.url()).await];
    let store = Store::default();
    for index in 0..100 {
        other.read(index, &store).await;
    }
    until_a_replica_answers(&one, 0, &store).await;
    one.outlive_l1();
    let before = one.l2().from_replicas;
    let keys: Vec<_> = (0..100).map(key).collect();
    let found = one.things.get_many(&keys).await;
    assert!(found.into_iter().all(|lookup| lookup.into_value().is_some()));
    assert!(one.l2().from_replicas >= before + 99, "{:?}", one.l2());
    assert_eq!((store.reads(), one.l2().errors, other.l2().from_replicas), (100, 0, 0));
}

/// A value of a class of its own, and one with a tag of its own.
const OTHERS: TtlClass = TtlClass::new("others", Duration::from_secs(600));
const OF_OTHERS: u32 = 10;
const TAGGED: u32 = 11;

/// Reads the value of the store, its only row.
async fn read(node: &Node, index: u32, row: u32) -> u32 {
    let load = async move || {
        let fill = Fill::new(row);
        Ok::<_, Infallible>(if index == TAGGED { fill.tag(tag()) } else { fill })
    };
    let others = node.cache.typed_with_codec::<u32>(OTHERS, Json::new());
    let handle = if index == OF_OTHERS { &others } else { &node.things };
    *handle.fetch(&key(index), load).await.unwrap().value
}

/// After any change of this process, or of another with a received notice: a replica without the
/// change is not queried.
#[tokio::test]
async fn a_value_missing_on_a_replica_is_read_from_the_primary() {
    let primary = RedisServer::start().await;
    let relay = Relay::start(primary.port()).await;
    let _replica = RedisServer::builder().set("replicaof", &format!("127.0.0.1 {}", relay.port())).start().await;
    let [one, other] = [node(&primary.url(), WINDOW).await, node(&primary.url(), WINDOW).await];
    let third = Node::start(&patient(&primary.url())).await;
    let changed = [1, 2, 3, 4, 5, 6, 7, 40, OF_OTHERS, TAGGED, 50];
    for index in changed.into_iter().chain([98, 99]) {
        read(&third, index, 0).await;
    }
    // Both hold in L1 the value of the replica.
    let hold_all = async |node: &Node| {
        let from_the_replica = async || {
            let before = node.l2().from_replicas;
            node.outlive_l1();
            for index in changed {
                read(node, index, 0).await;
            }
            (node.l2().from_replicas == before + 11).then_some(())
        };
        poll_until(SOON, from_the_replica).await.unwrap();
    };
    tokio::join!(hold_all(&one), hold_all(&other));
    relay.stop_replies();
    let are_new = async |indexes: &[u32]| {
        for index in indexes {
            poll_until(SOON, async || (!other.has(*index)).then_some(())).await.unwrap();
            assert_eq!((read(&one, *index, 1).await, read(&other, *index, 1).await), (1, 1), "{index}");
        }
    };
    one.cache.remove(&key(1)).await.unwrap();
    are_new(&[1]).await;
    // Reads of the replica continue, and it has its old values.
    for (node, index) in [(&one, 98), (&other, 99)] {
        let before = node.l2().from_replicas;
        assert_eq!((read(node, index, 1).await, node.l2().from_replicas), (0, before + 1), "{index}");
    }
    one.cache.remove_many(&[key(2), key(3)]).await.unwrap();
    are_new(&[2, 3]).await;
    assert!(one.things.put(&key(4), 1).await);
    one.things.put_many([(key(5), 1), (key(6), 1)]).await;
    let written = one.things.write_through(&key(7), async || Ok::<_, Infallible>(Fill::new(1))).await.unwrap();
    assert!(written.cached);
    for index in [4, 5, 6, 7] {
        assert_eq!(read(&one, index, 1).await, 1);
        poll_until(SOON, async || (read(&other, index, 1).await == 1).then_some(())).await.unwrap();
    }
    one.cache.invalidate_pattern(&Pattern::parse("thing:t1:4?").unwrap()).await.unwrap();
    are_new(&[40]).await;
    one.cache.invalidate_tag(&tag()).await.unwrap();
    are_new(&[TAGGED]).await;
    one.cache.invalidate_class("others").await.unwrap();
    are_new(&[OF_OTHERS]).await;
    // Until it is abandoned, and after that.
    let until = Instant::now() + WINDOW * 3 / 2;
    while Instant::now() < until {
        for node in [&one, &other] {
            node.outlive_l1();
            for index in changed.into_iter().filter(|index| *index != 50) {
                assert_eq!(read(node, index, 1).await, 1, "{index}");
            }
        }
    }
    one.cache.clear().await.unwrap();
    are_new(&[50]).await;
}

#[tokio::test]
async fn reads_do_not_wait_for_a_hung_dead_or_isolated_replica() {
    let (primary, mut replica) = replicated().await;
    let one = node(&primary.url(), Duration::from_millis(500)).await;
    let store = Store::default();
    for way in 0..3 {
        one.read(1, &store).await;
        until_a_replica_answers(&one, 1, &store).await;
        match way {
            0 => replica.hang().await,
            1 => replica.kill9(),
            _ => drop(replica.cli(&["REPLICAOF", "NO", "ONE"]).await),
        }
        let before = store.reads();
        for _ in 0..50 {
            one.outlive_l1();
            assert_eq!(one.read(1, &store).await.source, Source::Shared, "way {way}");
        }
        assert_eq!(store.reads(), before);
        match way {
            0 => replica.resume(),
            1 => replica.restart().await,
            _ => {}
        }
    }
    assert_eq!(one.l2().errors, 0, "{:?}", one.listener.0);
}

/// The lag of a replica would show only seconds later. A replica that does not reply shows at once.
#[tokio::test]
async fn only_the_first_of_many_reads_waits_for_a_hung_replica() {
    let (primary, mut replica) = replicated().await;
    let url = format!("{}?timeout=4s", primary.url());
    let one = Node::start_in(&url, "tg", |tier| tier.lag_window(Duration::from_secs(4))).await;
    let store = Store::default();
    one.read(1, &store).await;
    one.read(2, &store).await;
    until_a_replica_answers(&one, 1, &store).await;
    replica.hang().await;
    let started = Instant::now();
    for _ in 0..10 {
        one.outlive_l1();
        assert_eq!(one.read(2, &store).await.source, Source::Shared);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(3), "two seconds each may give to a replica: {took:?}");
    replica.resume();
    until_a_replica_answers(&one, 1, &store).await;
}

/// Loaded anew from half of its life on.
const WANING: TtlClass =
    TtlClass::new("waning", HALF.saturating_mul(2)).l1_ttl(HALF.saturating_mul(2)).refresh_ahead(HALF);
const HALF: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_replica_does_not_bring_back_a_value_that_a_batch_missed() {
    let primary = RedisServer::start().await;
    let relay = Relay::start(primary.port()).await;
    let _replica = RedisServer::builder().set("replicaof", &format!("127.0.0.1 {}", relay.port())).start().await;
    let one = node(&primary.url(), WINDOW).await;
    let waning = one.cache.typed_with_codec::<u32>(WANING, Json::new());
    waning.put(&key(1), 1).await;
    let gone = async |_: Vec<tidegate_cache::Key>| Ok::<_, Infallible>(Vec::new());
    poll_until(SOON, async || {
        let before = one.l2().from_replicas;
        one.clock.advance(HALF * 2);
        let read = waning.fetch(&key(1), async || Ok::<_, Infallible>(Fill::new(1))).await.unwrap();
        (read.source == Source::Shared && one.l2().from_replicas > before).then_some(())
    })
    .await
    .unwrap();
    relay.stop_replies();
    // L1 holds it, and it is about to be reloaded, which finds that there is no value any more.
    one.clock.advance(HALF);
    assert_eq!(waning.fetch_many([key(1)], gone).await.len(), 1);
    poll_until(SOON, async || (primary.cli(&["EXISTS", "tg:c:{thing:t1:1}"]).await.trim() == "0").then_some(()))
        .await
        .unwrap();
    let until = Instant::now() + WINDOW * 3 / 2;
    while Instant::now() < until {
        one.clock.advance(HALF * 2);
        let read = waning.fetch_many([key(1)], gone).await.remove(0).unwrap();
        assert!(read.is_none(), "{read:?}");
    }
}

#[tokio::test]
async fn without_a_replica_the_primary_answers() {
    let server = RedisServer::start().await;
    let one = Node::start_in(&patient(&server.url()), "tg", RedisTier::read_replicas).await;
    let store = Store::default();
    one.read(1, &store).await;
    one.outlive_l1();
    assert_eq!(one.read(1, &store).await.source, Source::Shared);
    assert_eq!((one.l2().from_replicas, one.l2().errors), (0, 0));
}

#[tokio::test]
async fn in_a_cluster_each_shard_has_its_replica() {
    let cluster = Cluster::start().await;
    let [one, other] = [node(&cluster.url(), Duration::from_millis(500)).await, Node::start(&cluster.url()).await];
    let store = Store::default();
    let keys: Vec<_> = (0..60).map(key).collect();
    for index in 0..60 {
        other.read(index, &store).await;
    }
    poll_until(SOON, async || {
        let before = one.l2().from_replicas;
        one.outlive_l1();
        one.things.get_many(&keys).await;
        (one.l2().from_replicas == before + 60).then_some(())
    })
    .await
    .unwrap();
    until_a_replica_answers(&one, 1, &store).await;
    assert_eq!(store.reads(), 60);
    // An invalidated value is gone at once for the node that invalidated it.
    store.row.store(1, Ordering::SeqCst);
    one.cache.remove_many(&keys).await.unwrap();
    for index in 0..60 {
        assert_eq!(*one.read(index, &store).await.value, 1);
    }
}

#[tokio::test]
async fn behind_sentinels_replicas_are_read_before_and_after_a_failover() {
    let mut sentinels = Sentinels::start().await;
    let one = node(&sentinels.url(), Duration::from_millis(500)).await;
    let store = Store::default();
    one.read(1, &store).await;
    until_a_replica_answers(&one, 1, &store).await;
    sentinels.failover().await;
    one.clear_at_last(&store).await;
    one.until(|l2| l2.owed == 0 && l2.is_followed && l2.is_available).await;
    let row = store.row.load(Ordering::SeqCst);
    poll_until(SOON, async || {
        one.outlive_l1();
        assert_eq!(*one.read(1, &store).await.value, row);
        (one.l2().from_replicas > 0).then_some(())
    })
    .await
    .unwrap();
    until_a_replica_answers(&one, 1, &store).await;
    assert_eq!(*one.read(1, &store).await.value, row);
}
