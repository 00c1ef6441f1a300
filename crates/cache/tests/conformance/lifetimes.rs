//! Effects of time on a value, by the clocks of the machine and the server.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Known, Source, TtlClass, TypedCache};
use tidegate_testkit::poll_until;

use crate::ground::{Ground, SOON, Store, THINGS, key};

const SHORT: Duration = Duration::from_millis(200);
const BRIEF: TtlClass = TtlClass::new("brief", SHORT);
const KIND: TtlClass = TtlClass::new("kind", SHORT).grace(Duration::from_secs(600));

/// Waits until no node has a fresh value.
async fn until_expired(nodes: &[TypedCache<u32>; 2]) {
    for node in nodes {
        let is_over = async || node.get_many([key(1)]).await.remove(0).into_fresh().is_none().then_some(());
        poll_until(SOON, is_over).await.unwrap();
    }
}

pub(crate) async fn what_has_expired_is_loaded_anew(ground: Ground) {
    let nodes = ground.both(BRIEF);
    let store = Store::holding(1);
    store.through(&nodes[0], &key(1), &[]).await;
    store.row.store(2, Ordering::SeqCst);
    until_expired(&nodes).await;
    for node in &nodes {
        store.until_read(node, &key(1), 2).await;
    }
}

pub(crate) async fn a_loader_may_shorten_a_life(ground: Ground) {
    let nodes = ground.both(THINGS);
    nodes[0].fetch(&key(1), async || Ok::<_, Infallible>(Fill::new(1).ttl(SHORT))).await.unwrap();
    until_expired(&nodes).await;
    let store = Store::holding(2);
    for node in &nodes {
        store.until_read(node, &key(1), 2).await;
    }
}

pub(crate) async fn what_is_stale_is_served_while_loads_fail(ground: Ground) {
    let nodes = ground.both(KIND);
    let store = Store::holding(1);
    store.through(&nodes[0], &key(1), &[]).await;
    until_expired(&nodes).await;
    for node in &nodes {
        for _ in 0..3 {
            let read = node.fetch(&key(1), async || Err::<Fill<u32>, _>("no")).await.unwrap();
            assert_eq!((*read.value, read.source), (1, Source::Stale));
        }
    }
}

pub(crate) async fn what_still_holds_is_fresh_again(ground: Ground) {
    let nodes = ground.both(KIND);
    let store = Store::holding(1);
    store.through(&nodes[0], &key(1), &[]).await;
    until_expired(&nodes).await;
    let held = Arc::new(AtomicU32::new(0));
    let is_fresh = async || {
        let held = Arc::clone(&held);
        let load = async move |known: Option<Known<u32>>| {
            held.fetch_add(u32::from(known.is_some()), Ordering::SeqCst);
            Ok::<_, Infallible>(known.map_or_else(|| Fill::new(9), |known| known.still_holds().ttl(THINGS.ttl())))
        };
        let read = nodes[0].fetch_or_revalidate(&key(1), load).await.unwrap();
        assert_eq!(*read.value, 1);
        (read.source != Source::Stale).then_some(())
    };
    poll_until(SOON, is_fresh).await.unwrap();
    assert!(held.load(Ordering::SeqCst) >= 1);
    // The other node finds the renewed value.
    let read = async || {
        let load = async || Ok::<_, Infallible>(Fill::new(9));
        let read = nodes[1].fetch(&key(1), load).await.unwrap();
        assert_eq!(*read.value, 1);
        (read.source != Source::Stale).then_some(())
    };
    poll_until(SOON, read).await.unwrap();
}
