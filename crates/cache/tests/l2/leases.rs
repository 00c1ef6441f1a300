//! Waiting for the load of another process: as long as that renews its lease, and no longer than
//! the class says.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tidegate_cache::{Fill, Json, Key, RedisTier, Source};
use tidegate_testkit::redis::RedisServer;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::ground::{CLASS, Node, SOON, Store, foreign, key, patient, server_and_nodes};

/// Reads two keys at once, in one call of the loader.
async fn read_many(node: &Node, store: &Store) -> Vec<(u32, Source)> {
    let store = store.clone();
    let load = async move |keys: Vec<Key>| {
        let value = store.read().await;
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(value))).collect::<Vec<_>>())
    };
    let reads = node.things.fetch_many([key(11), key(12)], load).await;
    reads.into_iter().map(|read| read.unwrap().unwrap()).map(|read| (*read.value, read.source)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_3_s_is_one_load_over_three_processes_at_the_default_settings() {
    let (_server, nodes) = server_and_nodes::<3>().await;
    let (single, batch) = (Store::slow(Duration::from_secs(3)), Store::slow(Duration::from_secs(3)));
    let read = |node: Node| {
        let (single, batch) = (single.clone(), batch.clone());
        async move { join(node.read(1, &single), read_many(&node, &batch)).await }
    };
    let reads = timeout(SOON, join_all(nodes.map(|node| tokio::spawn(read(node))))).await.unwrap();
    let (mut loaded, mut loaded_in_batches) = (0, 0);
    for read in reads {
        let (one, many) = read.unwrap();
        loaded += u32::from(one.source == Source::Loaded);
        loaded_in_batches += u32::from(many.iter().any(|(_, source)| *source == Source::Loaded));
    }
    assert_eq!((single.reads(), loaded), (1, 1));
    assert_eq!((batch.reads(), loaded_in_batches), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_by_one_of_those_that_wait_long_before_their_wait_is_over() {
    let server = RedisServer::start().await;
    let url = patient(&server.url());
    let node = async || Node::start_in(&url, "tg", |tier: RedisTier| tier.wait(SOON * 10)).await;
    let nodes = [node().await, node().await, node().await];
    // A process took part in these loads and died: its fences stand for two minutes, and no process
    // renews them.
    for index in [1, 11, 12] {
        let fence = format!("tg:cf:{{thing:t1:{index}}}");
        foreign(&nodes[0].client, &["SET", &fence, "dead", "PX", "120000"]).await;
    }
    let (single, batch) = (Store::slow(Duration::from_millis(500)), Store::slow(Duration::from_millis(500)));
    let read = |node: Node| {
        let (single, batch) = (single.clone(), batch.clone());
        async move { join(node.read(1, &single), read_many(&node, &batch)).await }
    };
    let began = Instant::now();
    let reads = timeout(SOON, join_all(nodes.map(|node| tokio::spawn(read(node))))).await.unwrap();
    reads.into_iter().for_each(|read| drop(read.unwrap()));
    assert!(began.elapsed() > Duration::from_millis(1500), "the lease was still good: {:?}", began.elapsed());
    assert_eq!((single.reads(), batch.reads()), (1, 1), "one took over, the others waited for it");
}

#[tokio::test]
async fn the_wait_for_another_process_is_bounded_by_the_class() {
    let (_server, [here, there]) = server_and_nodes().await;
    let brief = Duration::from_millis(100);
    for (index, wait) in (1..).zip([brief, Duration::ZERO]) {
        let (begin, begun) = oneshot::channel();
        let things = here.things.clone();
        let leader = tokio::spawn(async move {
            let load = async move || {
                begin.send(()).unwrap();
                pending::<Result<Fill<u32>, Infallible>>().await
            };
            things.fetch(&key(index), load).await
        });
        begun.await.unwrap();
        let things = there.cache.typed_with_codec::<u32>(CLASS.load_wait(wait), Json::new());
        let began = Instant::now();
        let wanted = key(index);
        let own = things.fetch(&wanted, async || Ok::<_, Infallible>(Fill::new(2)));
        let read = timeout(SOON, own).await.unwrap().unwrap();
        assert_eq!((*read.value, read.source), (2, Source::Loaded));
        assert!(began.elapsed() >= wait, "it waited {:?} of {wait:?}", began.elapsed());
        leader.abort();
    }
}

#[tokio::test]
async fn a_load_of_this_process_that_is_too_old_by_now_holds_up_no_later_read() {
    let server = RedisServer::start().await;
    let url = patient(&server.url());
    let node = Node::start_in(&url, "tg", |tier: RedisTier| tier.wait(SOON * 10)).await;
    let (begin, begun) = oneshot::channel();
    let things = node.things.clone();
    let hung = tokio::spawn(async move {
        let load = async move || {
            begin.send(()).unwrap();
            pending::<Result<Fill<u32>, Infallible>>().await
        };
        things.fetch(&key(1), load).await
    });
    begun.await.unwrap();
    // The loaded value is older than this, but its fence is still in force.
    node.cache.invalidate_class(CLASS.name()).await.unwrap();
    let read = timeout(SOON, node.read(1, &Store::default())).await.unwrap();
    assert_eq!(read.source, Source::Loaded);
    hung.abort();
}
