//! A value that is expired by hand is stale at once, and no load from before makes it fresh.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_cache::{Fill, Lookup, Removal, Source, TieredCache, TtlClass, TypedCache};
use tidegate_testkit::poll_until;

use crate::ground::{Ground, SOON, Store, key, keys};

const LONG: Duration = Duration::from_secs(600);
const KIND: TtlClass = TtlClass::new("kind", LONG).grace(LONG);
const PATIENT: TtlClass = TtlClass::new("patient", LONG).grace(LONG).soft_timeout(SOON);

async fn until_stale(node: &TypedCache<u32>, index: u32) {
    let is_stale = async || matches!(node.get(&key(index)).await, Lookup::Stale(_)).then_some(());
    poll_until(SOON, is_stale).await.unwrap();
}

/// How many invalidations the class counts.
fn counted(cache: &TieredCache, class: &TtlClass) -> u64 {
    let stats = cache.stats().classes;
    stats.iter().find(|of| of.class == class.name()).unwrap().invalidations
}

async fn fill(nodes: &[TypedCache<u32>; 2], store: &Store, indexes: std::ops::Range<u32>) {
    for node in nodes {
        for index in indexes.clone() {
            store.through(node, &key(index), &[]).await;
        }
    }
}

pub(crate) async fn what_is_expired_is_loaded_by_the_next_read(ground: Ground) {
    let nodes = ground.both(KIND);
    let store = Store::holding(1);
    fill(&nodes, &store, 1..2).await;
    assert_eq!(store.reads(), 1);
    store.row.store(2, Ordering::SeqCst);
    assert!(nodes[0].expire(&key(1)).await.unwrap());
    assert_eq!(nodes[0].get(&key(1)).await.into_fresh(), None, "at once");
    until_stale(&nodes[1], 1).await;
    assert_eq!(nodes[0].get(&key(1)).await.into_value().as_deref(), Some(&1));
    assert_eq!(store.through(&nodes[0], &key(1), &[]).await.source, Source::Stale);
    for node in &nodes {
        store.until_read(node, &key(1), 2).await;
        let is_fresh = async || node.get(&key(1)).await.into_fresh();
        assert_eq!(*poll_until(SOON, is_fresh).await.unwrap(), 2);
    }
}

pub(crate) async fn what_is_expired_serves_while_loads_fail(ground: Ground) {
    let nodes = ground.both(KIND);
    fill(&nodes, &Store::holding(1), 1..2).await;
    nodes[0].expire(&key(1)).await.unwrap();
    // Once more changes nothing.
    nodes[0].expire(&key(1)).await.unwrap();
    until_stale(&nodes[1], 1).await;
    assert_eq!(counted(&ground.one, &KIND), 1);
    for node in &nodes {
        for _ in 0..3 {
            let read = node.fetch(&key(1), async || Err::<Fill<u32>, _>("no")).await.unwrap();
            assert_eq!((*read.value, read.source, read.fresh_for), (1, Source::Stale, Duration::ZERO));
        }
    }
}

pub(crate) async fn what_is_expired_spares_whoever_can_wait(ground: Ground) {
    let nodes = ground.both(PATIENT);
    let store = Store::holding(1);
    fill(&nodes, &store, 1..2).await;
    store.row.store(2, Ordering::SeqCst);
    nodes[0].expire(&key(1)).await.unwrap();
    let read = store.through(&nodes[0], &key(1), &[]).await;
    assert_eq!((*read.value, read.source), (2, Source::Loaded));
    store.until_read(&nodes[1], &key(1), 2).await;
    assert_eq!(store.reads(), 2);
}

pub(crate) async fn without_a_grace_to_expire_is_to_invalidate(ground: Ground) {
    let [one, other] = ground.things();
    let left = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&left);
    let nodes = [one.on_removal(move |_, value, why| heard.lock().unwrap().push((*value, why))), other];
    fill(&nodes, &Store::holding(1), 1..2).await;
    assert!(nodes[0].expire(&key(1)).await.unwrap());
    assert_eq!(*left.lock().unwrap(), [(1, Removal::Invalidated)]);
    assert_eq!(nodes[0].get(&key(1)).await, Lookup::Miss);
    let is_gone = async || (nodes[1].get(&key(1)).await == Lookup::Miss).then_some(());
    poll_until(SOON, is_gone).await.unwrap();
    assert!(!nodes[0].expire(&key(1)).await.unwrap(), "nothing is left");
    assert_eq!(counted(&ground.one, nodes[0].class()), 1);
}

pub(crate) async fn a_load_from_before_makes_nothing_fresh(ground: Ground) {
    let [one, other] = ground.both(KIND);
    for (index, is_held) in [(1, false), (2, true)] {
        let store = Store::holding(1);
        if is_held {
            one.put(&key(index), Fill::new(0).ttl(Duration::from_millis(50))).await;
            until_stale(&one, index).await;
        }
        let load = {
            let (store, expirer) = (store.clone(), ground.other.clone());
            async move || {
                let old = store.read();
                store.row.store(2, Ordering::SeqCst);
                expirer.expire(&key(index)).await.unwrap();
                Ok::<_, Infallible>(Fill::new(old))
            }
        };
        // A value that is stale in L1 may be fresh in L2 for a moment more, and is found there
        // before a load starts.
        let is_changed = async || {
            one.fetch(&key(index), load.clone()).await.unwrap();
            (store.row.load(Ordering::SeqCst) == 2).then_some(())
        };
        poll_until(SOON, is_changed).await.unwrap();
        for node in [&one, &other] {
            store.until_read(node, &key(index), 2).await;
            assert_ne!(node.get(&key(index)).await.into_fresh().as_deref(), Some(&1));
        }
    }
}

pub(crate) async fn to_expire_reaches_its_keys_alone(ground: Ground) {
    let nodes = ground.both(KIND);
    fill(&nodes, &Store::holding(1), 0..6).await;
    assert_eq!(ground.one.expire_many(&keys([0, 3, 5, 77])).await.unwrap(), 3);
    let fresh = async |node: &TypedCache<u32>| {
        let found = node.get_many(keys(0..6)).await.into_iter().zip(0..);
        let fresh = found.filter_map(|(found, index)| found.into_fresh().map(|_| index));
        fresh.collect::<Vec<u32>>()
    };
    assert_eq!(fresh(&nodes[0]).await, [1, 2, 4]);
    let agree = async || (fresh(&nodes[1]).await == [1, 2, 4]).then_some(());
    poll_until(SOON, agree).await.unwrap();
    assert!(nodes[1].get_many(keys(0..6)).await.iter().all(Lookup::is_hit), "the others are stale");
}
