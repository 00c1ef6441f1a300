//! Batches of several nodes at once return no value from before an invalidation.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_cache::{Fill, Key};
use tokio::time::sleep;

use super::many;
use crate::ground::{Node, Store, heard, server_and_nodes, tag};

async fn dawdle() {
    match rand::random_range(0..4) {
        0 => {}
        1 => tokio::task::yield_now().await,
        _ => sleep(Duration::from_micros(rand::random_range(0..1500))).await,
    }
}

async fn read_somehow(node: &Node, store: &Store) -> Vec<u32> {
    let wanted: Vec<Key> = many(0..6).into_iter().filter(|_| rand::random_range(0..3) > 0).collect();
    if rand::random_range(0..3) == 0 {
        let found = node.things.get_many(&wanted).await;
        return found.into_iter().filter_map(|found| found.into_value().map(|value| *value)).collect();
    }
    let store = store.clone();
    let load = async move |keys: Vec<Key>| {
        dawdle().await;
        let value = store.read().await;
        dawdle().await;
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(value).tag(tag()))).collect::<Vec<_>>())
    };
    let reads = node.things.fetch_many(&wanted, load).await;
    reads.into_iter().map(|read| *read.unwrap().unwrap().value).collect()
}

/// Like `fencing`, for batches: every read bypasses its own L1. None returns a value from before an
/// invalidation that has returned or, for another node's tag or class, was noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_never_bring_an_old_value_back() {
    let writes = u32::try_from(tidegate_testkit::scale(400, 20_000)).unwrap();
    let (_server, nodes) = server_and_nodes::<3>().await;
    let (store, failed) = (Store::default(), Arc::new(Mutex::new(None)));
    // The last write of which each node knows.
    let known: [Arc<AtomicU32>; 3] = Default::default();
    let mut readers = Vec::new();
    for (node, finished) in nodes.clone().into_iter().zip(known.clone()) {
        let (store, failed) = (store.clone(), Arc::clone(&failed));
        readers.push(tokio::spawn(async move {
            while finished.load(Ordering::SeqCst) < writes {
                let least = finished.load(Ordering::SeqCst);
                node.outlive_l1();
                let read = read_somehow(&node, &store).await;
                if read.iter().any(|value| *value < least) {
                    *failed.lock().unwrap() = Some(format!("{read:?} after write {least}"));
                }
                dawdle().await;
            }
        }));
    }
    for write in 1..=writes {
        store.row.store(write, Ordering::SeqCst);
        let (writer, node) = (write as usize % 3, &nodes[write as usize % 3]);
        match write % 4 {
            0 => node.cache.invalidate_tag(&tag()).await.unwrap(),
            1 => drop(node.cache.invalidate_class("things").await.unwrap()),
            2 => drop(node.things.put_many(many(0..6).into_iter().map(|key| (key, write))).await),
            _ => drop(node.cache.remove_many(&many(0..6)).await.unwrap()),
        }
        known[writer].store(write, Ordering::SeqCst);
        for (other, known) in nodes.iter().zip(&known).enumerate().filter_map(|(at, it)| (at != writer).then_some(it)) {
            // Changes of keys need no notice after the call returns: they are gone from L2.
            if write % 4 < 2 {
                heard(other, node).await;
            }
            known.store(write, Ordering::SeqCst);
        }
        dawdle().await;
        dawdle().await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(*failed.lock().unwrap(), None);
    assert!(nodes.iter().all(|node| node.l2().errors == 0), "{:?}", nodes[0].listener.0);
}
