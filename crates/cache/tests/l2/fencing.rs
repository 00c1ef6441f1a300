//! Loads and invalidations of several nodes in random order: no read returns a value from before an
//! invalidation that has returned.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Key, Pattern, TieredCache};
use tidegate_testkit::poll_until;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::ground::{Node, SOON, Store, heard, key, keys, server_and_nodes, tag};

/// Writes of one run.
const WRITES: u32 = 700;

async fn dawdle() {
    match rand::random_range(0..4) {
        0 => {}
        1 => tokio::task::yield_now().await,
        _ => sleep(Duration::from_micros(rand::random_range(0..1500))).await,
    }
}

async fn invalidate(cache: &TieredCache, how: u32) {
    match how % 6 {
        0 => cache.invalidate_tag(&tag()).await.unwrap(),
        1 => cache.clear().await.unwrap(),
        2 => drop(cache.invalidate_pattern(&Pattern::parse("thing:*").unwrap()).await.unwrap()),
        3 => drop(cache.invalidate_class("things").await.unwrap()),
        _ => drop(cache.remove(&key(1)).await.unwrap()),
    }
}

async fn dawdling_read(node: &Node, store: &Store) -> u32 {
    let store = store.clone();
    let load = async move || {
        dawdle().await;
        let value = store.read().await;
        dawdle().await;
        Ok::<_, Infallible>(Fill::new(value).tag(tag()))
    };
    *node.things.fetch(&key(1), load).await.unwrap().value
}

/// L2 alone: the invalidation is made on one node only, and every read bypasses its own L1. The
/// remembered tags, classes and epoch of a node are dropped when it receives the notice. A value
/// that is gone from L2 needs no notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn l2_never_gives_an_old_value_to_any_node() {
    let (_server, nodes) = server_and_nodes::<4>().await;
    let (store, finished) = (Store::default(), Arc::new(AtomicU32::new(0)));
    let readers = nodes.clone().map(|node| {
        let (store, finished) = (store.clone(), Arc::clone(&finished));
        tokio::spawn(async move {
            let mut reads = 0;
            while finished.load(Ordering::SeqCst) < WRITES {
                node.outlive_l1();
                let least = finished.load(Ordering::SeqCst);
                let value = dawdling_read(&node, &store).await;
                assert!(value >= least, "read {value} after write {least}, made by {}", least % 6);
                reads += 1;
                dawdle().await;
            }
            reads
        })
    });
    for write in 1..=WRITES {
        store.row.store(write, Ordering::SeqCst);
        let writer = &nodes[write as usize % 4];
        invalidate(&writer.cache, write).await;
        if matches!(write % 6, 0 | 1 | 3) {
            futures_util::future::join_all(nodes.iter().map(|node| heard(node, writer))).await;
        }
        finished.store(write, Ordering::SeqCst);
        dawdle().await;
        dawdle().await;
    }
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }
    let hits: u64 = nodes.iter().map(|node| node.l2().hits).sum();
    assert!(reads > 100 && hits > 20 && store.reads() > 100, "{reads} reads, {hits} hits: nothing was tried");
    assert_eq!(nodes.iter().map(|node| node.l2().errors).sum::<u64>(), 0);
}

/// L1 and L2, with the rule of the application: a node learns of a commit before it answers a read
/// that began after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_applies_foreign_invalidations_first_never_reads_an_old_value() {
    let (_server, nodes) = server_and_nodes::<3>().await;
    let (store, finished) = (Store::default(), Arc::new(AtomicU32::new(0)));
    let mut readers = Vec::new();
    for node in &nodes {
        for _ in 0..3 {
            let (node, store, finished) = (node.clone(), store.clone(), Arc::clone(&finished));
            readers.push(tokio::spawn(async move {
                while finished.load(Ordering::SeqCst) < WRITES {
                    if rand::random_range(0..5) == 0 {
                        node.outlive_l1();
                    }
                    let least = finished.load(Ordering::SeqCst);
                    let value = dawdling_read(&node, &store).await;
                    assert!(value >= least, "read {value} after write {least}, made by {}", least % 6);
                    dawdle().await;
                }
            }));
        }
    }
    for write in 1..=WRITES {
        store.row.store(write, Ordering::SeqCst);
        let told = nodes.each_ref().map(|node| invalidate(&node.cache, write));
        futures_util::future::join_all(told).await;
        finished.store(write, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

/// The race for which the cells exist: a tag that is known only at the end of the load, invalidated
/// meanwhile.
#[tokio::test]
async fn a_tag_that_was_invalidated_during_the_load_refuses_the_fill() {
    let (_server, [one, other]) = server_and_nodes().await;
    // Also when the tag was never seen before, so that there is no generation to compare.
    for round in 0..2 {
        let store = Store::slow(Duration::from_millis(50));
        let (loading, node) = (store.clone(), one.clone());
        let load = tokio::spawn(async move { node.read(1, &loading).await });
        while store.reads() == 0 {
            tokio::task::yield_now().await;
        }
        store.row.store(1, Ordering::SeqCst);
        other.cache.invalidate_tag(&tag()).await.unwrap();
        let old = load.await.unwrap();
        assert_eq!((*old.value, old.stored), (0, false), "round {round}");
        other.outlive_l1();
        assert_eq!(*other.read(1, &store).await.value, 1);
        one.cache.remove(&key(1)).await.unwrap();
    }
}

/// The next caller that misses loads at once, and does not wait for a load that has ended.
#[tokio::test]
async fn a_fill_that_was_refused_leaves_no_fence() {
    let (_server, [one, other]) = server_and_nodes().await;
    for is_batch in [false, true] {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (started, gate, things) = (Arc::clone(&begun), Arc::clone(&go_on), one.things.clone());
        let load = async move || {
            started.notify_one();
            gate.notified().await;
            Fill::new(7_u32).tag(tag())
        };
        let read = tokio::spawn(async move {
            if is_batch {
                let load = async move |keys: Vec<Key>| Ok::<_, Infallible>(vec![(keys[0].clone(), load().await)]);
                *things.fetch_many([key(1)], load).await.remove(0).unwrap().unwrap().value
            } else {
                *things.fetch(&key(1), async move || Ok::<_, Infallible>(load().await)).await.unwrap().value
            }
        });
        begun.notified().await;
        other.cache.invalidate_tag(&tag()).await.unwrap();
        go_on.notify_one();
        assert_eq!(read.await.unwrap(), 7);
        let is_clean = async || keys(&one.client).await.iter().all(|key| !key.starts_with("tg:cf:")).then_some(());
        poll_until(SOON, is_clean).await.unwrap();
    }
}
