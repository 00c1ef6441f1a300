//! What a batch costs: round trips, the size of its answers, and what it leaves out.

use std::convert::Infallible;
use std::sync::Arc;

use tidegate_cache::{Fill, Json, Key, Lookup, TtlClass};
use tokio::time::Instant;

use super::{loader, many, number_of};
use crate::ground::{CLASS, Node, key, keys, server_and_nodes};

#[tokio::test]
async fn large_values_come_in_several_answers() {
    let (_server, [one, other]) = server_and_nodes().await;
    let handle = |node: &Node| node.cache.typed_with_codec::<String>(CLASS, Json::new());
    let value = |key: &Key| format!("{:0>50000}", number_of(key));
    let wanted = many(0..100);
    handle(&one).put_many(wanted.iter().map(|key| (key, value(key)))).await;
    let found = handle(&other).get_many(&wanted).await;
    assert!(
        found.into_iter().zip(&wanted).all(|(found, key)| found.into_value().is_some_and(|found| *found == value(key)))
    );
    assert_eq!(other.l2().errors, 0);
}

#[tokio::test]
async fn a_payload_over_the_cap_is_not_stored_and_its_predecessor_is_removed() {
    let (_server, [one, other]) = server_and_nodes().await;
    let handle = |node: &Node| node.cache.typed_with_codec::<String>(CLASS, Json::new());
    let small = || "small".to_owned();
    handle(&one).put_many(many(0..3).into_iter().map(|key| (key, small()))).await;
    let large = "x".repeat(1 << 20);
    let kept = handle(&one).put_many([(key(0), small()), (key(1), large.clone()), (key(2), small())]).await;
    assert_eq!((kept, one.l2().codec_errors), (vec![true, false, true], 1));
    let found = handle(&other).get_many(many(0..3)).await;
    assert_eq!(found, [Lookup::Fresh(Arc::new(small())), Lookup::Miss, Lookup::Fresh(Arc::new(small()))]);
    // Loaded, it goes to L1 only.
    let load = async move |keys: Vec<Key>| {
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(large.clone()))).collect::<Vec<_>>())
    };
    let reads = handle(&other).fetch_many(many(0..3), load).await;
    let read = reads[1].as_ref().unwrap().as_ref().unwrap();
    assert_eq!((read.value.len(), read.stored, other.l2().codec_errors), (1 << 20, true, 1));
    assert_eq!(handle(&one).get_many(many(1..2)).await, [Lookup::Miss]);
}

#[tokio::test]
async fn a_batch_over_l1_alone_does_not_query_redis() {
    let (_server, [one]) = server_and_nodes().await;
    let local = one.cache.typed::<u32>(TtlClass::API);
    local.put_many(many(0..10).into_iter().map(|key| (key, 1))).await;
    assert_eq!(local.get_many(many(0..20)).await.iter().filter(|found| **found == Lookup::Miss).count(), 10);
    local.fetch_many(many(10..20), loader(0, &Arc::default())).await;
    assert_eq!(keys(&one.client).await, Vec::<String>::new());
}

/// The benchmarks measure the full ratio. Here it is far lower, and other tests run too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_costs_a_fraction_of_as_many_single_calls() {
    let (_server, [one]) = server_and_nodes().await;
    let wanted = many(0..1000);
    let started = Instant::now();
    for key in &wanted {
        one.things.put(key, 1).await;
    }
    let put_each = started.elapsed();
    let started = Instant::now();
    one.things.put_many(wanted.iter().map(|key| (key, 1))).await;
    let put_many = started.elapsed();
    one.outlive_l1();
    let started = Instant::now();
    for key in &wanted {
        one.things.fetch(key, async || Ok::<_, Infallible>(Fill::new(2))).await.unwrap();
    }
    let get_each = started.elapsed();
    one.outlive_l1();
    let started = Instant::now();
    let found = one.things.get_many(&wanted).await;
    let get_many = started.elapsed();
    assert!(found.iter().all(|found| *found == Lookup::Fresh(Arc::new(1))));
    assert!(put_each > put_many * 3, "{put_each:?} one by one, {put_many:?} in a batch");
    assert!(get_each > get_many * 3, "{get_each:?} one by one, {get_many:?} in a batch");
}
