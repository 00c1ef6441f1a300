//! What one node stores or loads in a batch, the other finds.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Fill, Json, Key, Lookup, Source};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::Cluster;
use tokio::sync::{Notify, Semaphore};
use tokio::time::sleep;

use super::{all, loader, many, number_of, own_tag, values};
use crate::ground::{CLASS, Node, SOON, foreign, key, keys, nodes_on, patient, server_and_nodes, tag};

async fn one_loads_and_the_other_finds(one: &Node, other: &Node, count: u32) {
    let (wanted, loaded) = (many(0..count), Arc::default());
    let reads = one.things.fetch_many(&wanted, loader(0, &loaded)).await;
    assert_eq!(values(reads), all(count, 0, Source::Loaded));
    // Word of its own fill may have come too late to keep all of them in L1.
    let again = values(one.things.fetch_many(&wanted, loader(1, &loaded)).await);
    assert!(again.iter().zip(0..).all(|((value, source), index)| *value == index && *source != Source::Loaded));
    assert_eq!(values(other.things.fetch_many(&wanted, loader(1, &loaded)).await), all(count, 0, Source::Shared));
    assert_eq!(loaded.load(Ordering::SeqCst), count);
    other.outlive_l1();
    let found = other.things.get_many(&wanted).await;
    let expected: Vec<_> = (0..count).map(|index| Lookup::Fresh(Arc::new(index))).collect();
    assert_eq!(found, expected);
    assert!(other.has(count - 1), "what L2 had is kept");
    // One tag, one key, all of a tag.
    one.cache.invalidate_tag(&own_tag(3)).await.unwrap();
    one.cache.remove(&key(4)).await.unwrap();
    other.outlive_l1();
    let found = other.things.get_many(&wanted).await;
    let missing: Vec<_> = (0..count).filter(|index| found[*index as usize] == Lookup::Miss).collect();
    assert_eq!(missing, [3, 4]);
    one.cache.invalidate_tag(&tag()).await.unwrap();
    other.outlive_l1();
    assert!(other.things.get_many(&wanted).await.iter().all(|found| *found == Lookup::Miss));
    assert_eq!(values(other.things.fetch_many(&wanted, loader(7, &loaded)).await), all(count, 7, Source::Loaded));
    assert_eq!((one.l2().errors, other.l2().errors), (0, 0), "{:?} {:?}", one.listener.0, other.listener.0);
}

async fn one_stores_and_the_other_finds(one: &Node, other: &Node, count: u32) {
    let wanted = many(0..count);
    other.things.put_many(wanted.iter().map(|key| (key, 0))).await;
    let kept = one.things.put_many(wanted.iter().map(|key| (key, Fill::new(number_of(key)).tag(tag())))).await;
    assert!(kept.into_iter().all(|kept| kept));
    poll_until(SOON, async || (0..count).all(|index| !other.has(index)).then_some(())).await.unwrap();
    let found = other.things.get_many(&wanted).await;
    assert!(found.into_iter().zip(0..).all(|(found, index)| found == Lookup::Fresh(Arc::new(index))));
    // Fewer, if the notice of the other node's values came late.
    assert!(one.cache.remove_many(&wanted).await.unwrap() <= count as usize);
    assert!((0..count).all(|index| !one.has(index)));
    poll_until(SOON, async || (0..count).all(|index| !other.has(index)).then_some(())).await.unwrap();
    assert!(other.things.get_many(&wanted).await.iter().all(|found| *found == Lookup::Miss));
    assert_eq!((one.l2().errors, other.l2().errors), (0, 0), "{:?} {:?}", one.listener.0, other.listener.0);
}

#[tokio::test]
async fn a_batch_loaded_by_one_node_is_found_by_the_other() {
    let (_server, [one, other]) = server_and_nodes().await;
    one_loads_and_the_other_finds(&one, &other, 1000).await;
}

#[tokio::test]
async fn a_batch_stored_by_one_node_is_found_by_the_other_until_it_is_invalidated() {
    let (_server, [one, other]) = server_and_nodes().await;
    one_stores_and_the_other_finds(&one, &other, 1000).await;
}

#[tokio::test]
async fn batches_on_a_cluster() {
    let cluster = Cluster::start().await;
    let [one, other] = nodes_on(&patient(&cluster.url())).await;
    one_loads_and_the_other_finds(&one, &other, 300).await;
    one_stores_and_the_other_finds(&one, &other, 300).await;
}

#[tokio::test]
async fn every_key_that_a_batch_leaves_has_an_expiry_and_no_fence_stays() {
    let (_server, [one]) = server_and_nodes().await;
    let nothing = async |_| Ok::<Vec<(Key, Fill<u32>)>, Infallible>(Vec::new());
    assert!(one.things.fetch_many(many(0..100), nothing).await.iter().all(|read| matches!(read, Ok(None))));
    let failing = async |_| Err::<Vec<(Key, Fill<u32>)>, _>(());
    assert!(one.things.fetch_many(many(0..100), failing).await.iter().all(Result::is_err));
    one.things.fetch_many(many(100..200), loader(0, &Arc::default())).await;
    one.things.put_many(many(200..300).into_iter().map(|key| (key, 1))).await;
    one.things.get_many(many(300..400)).await;
    let held = poll_until(SOON, async || {
        let held = keys(&one.client).await;
        (!held.iter().any(|key| key.starts_with("tg:cf:"))).then_some(held)
    });
    let held = held.await.unwrap();
    assert_eq!(held.iter().filter(|key| key.starts_with("tg:c:")).count(), 200);
    for key in held {
        let left = foreign(&one.client, &["PTTL", &key]).await.as_int().unwrap();
        assert!(left > 0 || left == -2, "{key} expires in {left} ms");
    }
}

#[tokio::test]
async fn a_batch_waits_for_a_load_of_another_process_but_not_with_loads_of_its_own() {
    let (_server, [one, other]) = server_and_nodes().await;
    let (gate, started) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let slow = tokio::spawn({
        let (one, gate, started) = (one.clone(), Arc::clone(&gate), Arc::clone(&started));
        async move {
            let load = async move |keys: Vec<Key>| {
                started.notify_one();
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(1))).collect::<Vec<_>>())
            };
            values(one.things.fetch_many(many(0..70), load).await)
        }
    });
    started.notified().await;
    // It has key 70 to load, and loads the others as well.
    let loaded = Arc::default();
    let reads = other.things.fetch_many(many(69..71), loader(0, &loaded)).await;
    assert_eq!(values(reads), [(69, Source::Loaded), (70, Source::Loaded)]);
    // All of these are on their way.
    let waiting = tokio::spawn({
        let (other, loaded) = (other.clone(), Arc::clone(&loaded));
        async move { values(other.things.fetch_many(many(0..69), loader(0, &loaded)).await) }
    });
    sleep(Duration::from_millis(30)).await;
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), vec![(1, Source::Shared); 69]);
    assert_eq!(slow.await.unwrap(), vec![(1, Source::Loaded); 70]);
    assert_eq!(loaded.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_undecodable_value_in_a_batch_is_a_reported_miss_and_replaced() {
    let (_server, [one, other]) = server_and_nodes().await;
    one.things.put_many(many(0..10).into_iter().map(|key| (key, 1))).await;
    foreign(&one.client, &["SET", "tg:c:{thing:t1:3}", "nonsense"]).await;
    let texts = one.cache.typed_with_codec::<String>(CLASS, Json::new());
    texts.put(&key(4), "no number".to_owned()).await;
    let found = other.things.get_many(many(0..10)).await;
    let missing: Vec<_> = (0..10).filter(|index| found[*index] == Lookup::Miss).collect();
    assert_eq!((missing, other.l2().codec_errors), (vec![3, 4], 2));
    let loaded = Arc::default();
    let reads = values(other.things.fetch_many(many(0..10), loader(0, &loaded)).await);
    assert_eq!((reads[3], reads[4], reads[5]), ((3, Source::Loaded), (4, Source::Loaded), (1, Source::Hit)));
    other.outlive_l1();
    assert_eq!(other.things.get_many(many(3..5)).await, [Lookup::Fresh(Arc::new(3)), Lookup::Fresh(Arc::new(4))]);
    assert_eq!(other.l2().errors, 0);
}
