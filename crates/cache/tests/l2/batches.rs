//! Batches through L2: few round trips, and every promise of the single calls.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_cache::{Fill, Json, Key, LoadError, Lookup, Read, Source, Tag, TtlClass};
use tidegate_redis::Client;
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Cluster, RedisServer};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};

use crate::ground::{CLASS, Node, SOON, Store, foreign, heard, key, keys, nodes_on, patient, server_and_nodes, tag};

fn many(indexes: impl IntoIterator<Item = u32>) -> Vec<Key> {
    indexes.into_iter().map(key).collect()
}

fn number_of(key: &Key) -> u32 {
    key.as_str().rsplit(':').next().unwrap().parse().unwrap()
}

fn own_tag(index: u32) -> Tag {
    Tag::of(["thing", &index.to_string()])
}

type Answer = Result<Vec<(Key, Fill<u32>)>, Infallible>;

/// A loader that returns the number of each key plus `more`, with two tags, and counts the keys.
fn loader(more: u32, loaded: &Arc<AtomicU32>) -> impl FnOnce(Vec<Key>) -> std::future::Ready<Answer> + Send + 'static {
    let loaded = Arc::clone(loaded);
    move |keys| {
        loaded.fetch_add(u32::try_from(keys.len()).unwrap(), Ordering::SeqCst);
        let fill = |key: &Key| Fill::new(number_of(key) + more).tag(tag()).tag(own_tag(number_of(key)));
        std::future::ready(Ok(keys.iter().map(|key| (key.clone(), fill(key))).collect()))
    }
}

fn values<E: std::fmt::Debug>(reads: Vec<Result<Option<Read<u32>>, LoadError<E>>>) -> Vec<(u32, Source)> {
    let value = |read: Read<u32>| (*read.value, read.source);
    reads.into_iter().map(|read| value(read.unwrap().unwrap())).collect()
}

fn all(count: u32, more: u32, source: Source) -> Vec<(u32, Source)> {
    (0..count).map(|index| (index + more, source)).collect()
}

async fn one_loads_and_the_other_finds(one: &Node, other: &Node, count: u32) {
    let (wanted, loaded) = (many(0..count), Arc::default());
    let reads = one.things.get_or_load_many(&wanted, loader(0, &loaded)).await;
    assert_eq!(values(reads), all(count, 0, Source::Loaded));
    // Word of its own fill may have come too late to keep all of them in L1.
    let again = values(one.things.get_or_load_many(&wanted, loader(1, &loaded)).await);
    assert!(again.iter().zip(0..).all(|((value, source), index)| *value == index && *source != Source::Loaded));
    assert_eq!(values(other.things.get_or_load_many(&wanted, loader(1, &loaded)).await), all(count, 0, Source::Shared));
    assert_eq!(loaded.load(Ordering::SeqCst), count);
    other.outlive_l1();
    let found = other.things.get_many(&wanted).await;
    let expected: Vec<_> = (0..count).map(|index| Lookup::Fresh(Arc::new(index))).collect();
    assert_eq!(found, expected);
    assert!(other.has(count - 1), "what L2 had is kept");
    // One tag, one key, all of a tag.
    one.cache.invalidate_tag(&own_tag(3)).await.unwrap();
    one.cache.invalidate_key(&key(4)).await.unwrap();
    other.outlive_l1();
    let found = other.things.get_many(&wanted).await;
    let missing: Vec<_> = (0..count).filter(|index| found[*index as usize] == Lookup::Miss).collect();
    assert_eq!(missing, [3, 4]);
    one.cache.invalidate_tag(&tag()).await.unwrap();
    other.outlive_l1();
    assert!(other.things.get_many(&wanted).await.iter().all(|found| *found == Lookup::Miss));
    assert_eq!(values(other.things.get_or_load_many(&wanted, loader(7, &loaded)).await), all(count, 7, Source::Loaded));
    assert_eq!((one.l2().errors, other.l2().errors), (0, 0), "{:?} {:?}", one.listener.0, other.listener.0);
}

async fn one_stores_and_the_other_finds(one: &Node, other: &Node, count: u32) {
    let wanted = many(0..count);
    other.things.set_many(wanted.iter().map(|key| (key, 0))).await;
    let kept = one.things.set_many(wanted.iter().map(|key| (key, Fill::new(number_of(key)).tag(tag())))).await;
    assert!(kept.into_iter().all(|kept| kept));
    poll_until(SOON, async || (0..count).all(|index| !other.has(index)).then_some(())).await.unwrap();
    let found = other.things.get_many(&wanted).await;
    assert!(found.into_iter().zip(0..).all(|(found, index)| found == Lookup::Fresh(Arc::new(index))));
    // Fewer, if the notice of the other node's values came late.
    assert!(one.cache.invalidate_keys(&wanted).await.unwrap() <= count as usize);
    assert!((0..count).all(|index| !one.has(index)));
    poll_until(SOON, async || (0..count).all(|index| !other.has(index)).then_some(())).await.unwrap();
    assert!(other.things.get_many(&wanted).await.iter().all(|found| *found == Lookup::Miss));
    assert_eq!((one.l2().errors, other.l2().errors), (0, 0), "{:?} {:?}", one.listener.0, other.listener.0);
}

#[tokio::test]
async fn what_one_node_loads_in_a_batch_the_other_finds() {
    let (_server, [one, other]) = server_and_nodes().await;
    one_loads_and_the_other_finds(&one, &other, 1000).await;
}

#[tokio::test]
async fn what_one_node_stores_in_a_batch_the_other_finds_until_it_is_invalidated() {
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
    assert!(one.things.get_or_load_many(many(0..100), nothing).await.iter().all(|read| matches!(read, Ok(None))));
    let failing = async |_| Err::<Vec<(Key, Fill<u32>)>, _>(());
    assert!(one.things.get_or_load_many(many(0..100), failing).await.iter().all(Result::is_err));
    one.things.get_or_load_many(many(100..200), loader(0, &Arc::default())).await;
    one.things.set_many(many(200..300).into_iter().map(|key| (key, 1))).await;
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
            values(one.things.get_or_load_many(many(0..70), load).await)
        }
    });
    started.notified().await;
    // It has key 70 to load, and loads the others as well.
    let loaded = Arc::default();
    let reads = other.things.get_or_load_many(many(69..71), loader(0, &loaded)).await;
    assert_eq!(values(reads), [(69, Source::Loaded), (70, Source::Loaded)]);
    // All of these are on their way.
    let waiting = tokio::spawn({
        let (other, loaded) = (other.clone(), Arc::clone(&loaded));
        async move { values(other.things.get_or_load_many(many(0..69), loader(0, &loaded)).await) }
    });
    sleep(Duration::from_millis(30)).await;
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), vec![(1, Source::Shared); 69]);
    assert_eq!(slow.await.unwrap(), vec![(1, Source::Loaded); 70]);
    assert_eq!(loaded.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn large_values_come_in_several_answers() {
    let (_server, [one, other]) = server_and_nodes().await;
    let handle = |node: &Node| node.cache.typed_with_codec::<String>(CLASS, Json::new());
    let value = |key: &Key| format!("{:0>50000}", number_of(key));
    let wanted = many(0..100);
    handle(&one).set_many(wanted.iter().map(|key| (key, value(key)))).await;
    let found = handle(&other).get_many(&wanted).await;
    assert!(
        found.into_iter().zip(&wanted).all(|(found, key)| found.into_value().is_some_and(|found| *found == value(key)))
    );
    assert_eq!(other.l2().errors, 0);
}

#[tokio::test]
async fn what_cannot_be_decoded_in_a_batch_is_a_reported_miss_and_replaced() {
    let (_server, [one, other]) = server_and_nodes().await;
    one.things.set_many(many(0..10).into_iter().map(|key| (key, 1))).await;
    foreign(&one.client, &["SET", "tg:c:{thing:t1:3}", "nonsense"]).await;
    let texts = one.cache.typed_with_codec::<String>(CLASS, Json::new());
    texts.set(&key(4), "no number".to_owned()).await;
    let found = other.things.get_many(many(0..10)).await;
    let missing: Vec<_> = (0..10).filter(|index| found[*index] == Lookup::Miss).collect();
    assert_eq!((missing, other.l2().codec_errors), (vec![3, 4], 2));
    let loaded = Arc::default();
    let reads = values(other.things.get_or_load_many(many(0..10), loader(0, &loaded)).await);
    assert_eq!((reads[3], reads[4], reads[5]), ((3, Source::Loaded), (4, Source::Loaded), (1, Source::Hit)));
    other.outlive_l1();
    assert_eq!(other.things.get_many(many(3..5)).await, [Lookup::Fresh(Arc::new(3)), Lookup::Fresh(Arc::new(4))]);
    assert_eq!(other.l2().errors, 0);
}

#[tokio::test]
async fn a_payload_over_the_cap_is_left_out_and_what_was_there_is_gone() {
    let (_server, [one, other]) = server_and_nodes().await;
    let handle = |node: &Node| node.cache.typed_with_codec::<String>(CLASS, Json::new());
    let small = || "small".to_owned();
    handle(&one).set_many(many(0..3).into_iter().map(|key| (key, small()))).await;
    let large = "x".repeat(1 << 20);
    let kept = handle(&one).set_many([(key(0), small()), (key(1), large.clone()), (key(2), small())]).await;
    assert_eq!((kept, one.l2().codec_errors), (vec![true, false, true], 1));
    let found = handle(&other).get_many(many(0..3)).await;
    assert_eq!(found, [Lookup::Fresh(Arc::new(small())), Lookup::Miss, Lookup::Fresh(Arc::new(small()))]);
    // Loaded, it goes to L1 only.
    let load = async move |keys: Vec<Key>| {
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(large.clone()))).collect::<Vec<_>>())
    };
    let reads = handle(&other).get_or_load_many(many(0..3), load).await;
    let read = reads[1].as_ref().unwrap().as_ref().unwrap();
    assert_eq!((read.value.len(), read.stored, other.l2().codec_errors), (1 << 20, true, 1));
    assert_eq!(handle(&one).get_many(many(1..2)).await, [Lookup::Miss]);
}

#[tokio::test]
async fn a_redis_that_hangs_costs_a_batch_one_time_out_and_nothing_stored_is_forgotten() {
    let mut server = RedisServer::start().await;
    let [one, other]: [Node; 2] = nodes_on(&format!("{}?timeout=2s", server.url())).await;
    other.things.set_many(many(0..1000).into_iter().map(|key| (key, 0))).await;
    server.hang().await;
    let started = Instant::now();
    let loaded = Arc::default();
    let reads = values(one.things.get_or_load_many(many(2000..3000), loader(0, &loaded)).await);
    assert!(reads.iter().all(|(_, source)| *source == Source::Loaded));
    // Two would be too many.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    // The patience of a batch may end just before its last command does, which shows the hang.
    one.until(|l2| !l2.is_available).await;
    let started = Instant::now();
    assert_eq!(one.things.get_many(many(0..1000)).await.iter().filter(|found| **found != Lookup::Miss).count(), 0);
    one.things.set_many(many(0..1000).into_iter().map(|key| (key, 1))).await;
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
async fn a_shard_that_hangs_takes_nothing_from_what_others_have_just_stored() {
    let mut cluster = Cluster::start().await;
    let [one, other]: [Node; 2] = nodes_on(&format!("{}?timeout=1s", cluster.url())).await;
    let epoch = cluster.primary_of(Client::slot_of("tg:ce:{e}")).await;
    let mut by_shard: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
    for key in many(0..40) {
        by_shard.entry(cluster.primary_of(Client::slot_of(key.as_str())).await).or_default().push(key);
    }
    // One without the epoch, without which nothing can be stored.
    let (hung, theirs) = by_shard.iter().find(|(shard, _)| **shard != epoch).unwrap();
    one.things.set_many(many(0..40).into_iter().map(|key| (key, 0))).await;
    cluster.nodes()[*hung].hang().await;
    one.things.set_many(many(0..40).into_iter().map(|key| (key, 1))).await;
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
async fn a_batch_over_l1_alone_asks_nobody() {
    let (_server, [one]) = server_and_nodes().await;
    let local = one.cache.typed::<u32>(TtlClass::API);
    local.set_many(many(0..10).into_iter().map(|key| (key, 1))).await;
    assert_eq!(local.get_many(many(0..20)).await.iter().filter(|found| **found == Lookup::Miss).count(), 10);
    local.get_or_load_many(many(10..20), loader(0, &Arc::default())).await;
    assert_eq!(keys(&one.client).await, Vec::<String>::new());
}

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
    let reads = node.things.get_or_load_many(&wanted, load).await;
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
            2 => drop(node.things.set_many(many(0..6).into_iter().map(|key| (key, write))).await),
            _ => drop(node.cache.invalidate_keys(&many(0..6)).await.unwrap()),
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

/// The benchmarks measure the full ratio. Here it is far lower, and other tests run too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_costs_a_fraction_of_as_many_single_calls() {
    let (_server, [one]) = server_and_nodes().await;
    let wanted = many(0..1000);
    let started = Instant::now();
    for key in &wanted {
        one.things.set(key, 1).await;
    }
    let set_each = started.elapsed();
    let started = Instant::now();
    one.things.set_many(wanted.iter().map(|key| (key, 1))).await;
    let set_many = started.elapsed();
    one.outlive_l1();
    let started = Instant::now();
    for key in &wanted {
        one.things.get_or_load(key, async || Ok::<_, Infallible>(Fill::new(2))).await.unwrap();
    }
    let get_each = started.elapsed();
    one.outlive_l1();
    let started = Instant::now();
    let found = one.things.get_many(&wanted).await;
    let get_many = started.elapsed();
    assert!(found.iter().all(|found| *found == Lookup::Fresh(Arc::new(1))));
    assert!(set_each > set_many * 3, "{set_each:?} one by one, {set_many:?} in a batch");
    assert!(get_each > get_many * 3, "{get_each:?} one by one, {get_many:?} in a batch");
}

#[tokio::test]
async fn a_batch_of_a_process_that_starts_is_served_what_its_predecessor_left() {
    const BRIEF: TtlClass = TtlClass::new("brief", Duration::from_millis(1)).grace(Duration::from_secs(600));
    let (_server, [one, other]) = server_and_nodes().await;
    let handle = |node: &Node| node.cache.typed_with_codec::<u32>(BRIEF, Json::new());
    handle(&one).set_many(many(0..100).into_iter().map(|key| (key, 7))).await;
    sleep(Duration::from_millis(5)).await;
    // After a mere read it is stale, and stays so.
    let found = handle(&other).get_many(many(0..50)).await;
    assert!(found.iter().all(|found| *found == Lookup::Stale(Arc::new(7))), "{found:?}");
    // Loaded, it is served meanwhile. Of the last one there is nothing.
    let (gate, loaded) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let load = |gate: &Arc<Semaphore>| {
        let (gate, loaded) = (Arc::clone(gate), Arc::clone(&loaded));
        async move |keys: Vec<Key>| {
            gate.acquire().await.unwrap().forget();
            loaded.fetch_add(u32::try_from(keys.len()).unwrap(), Ordering::SeqCst);
            let fill = |key: Key| (key, Fill::new(8).ttl(Duration::from_secs(600)));
            Ok::<_, Infallible>(keys.into_iter().map(fill).collect::<Vec<_>>())
        }
    };
    let stale = values(handle(&other).get_or_load_many(many(50..100), load(&gate)).await);
    assert_eq!(stale, vec![(7, Source::Stale); 50]);
    gate.add_permits(1);
    poll_until(SOON, async || {
        let found = handle(&other).get_many(many(50..100)).await;
        found.iter().all(|found| *found == Lookup::Fresh(Arc::new(8))).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(loaded.load(Ordering::SeqCst), 50, "loaded once");
    let missing = values(handle(&other).get_or_load_many(many(100..101), load(&Arc::new(Semaphore::new(1)))).await);
    assert_eq!(missing, [(8, Source::Loaded)]);
}

/// A key that the loader of a batch omits is gone, even if only L2 held it, stale or fresh.
#[tokio::test]
async fn what_a_batch_has_nothing_for_goes_from_l2_too() {
    const STALE: TtlClass = TtlClass::new("things", Duration::from_millis(1)).grace(Duration::from_secs(600));
    const AHEAD: TtlClass = TtlClass::new("ahead", Duration::from_secs(600))
        .l1_ttl(Duration::from_secs(600))
        .refresh_ahead(Duration::from_secs(300));
    let (_server, [one, other]) = server_and_nodes().await;
    let handle = |node: &Node, class| node.cache.typed_with_codec::<u32>(class, Json::new());
    for (index, class) in (0..).zip([STALE.soft_timeout(SOON), STALE, AHEAD]) {
        let (wanted, there) = (many(index..index + 1), handle(&other, class));
        handle(&one, class).set_many(wanted.iter().map(|key| (key, 7))).await;
        if class == AHEAD {
            assert_eq!(there.get_many(&wanted).await, [Lookup::Fresh(Arc::new(7))]);
            other.clock.advance(Duration::from_secs(301));
        } else {
            sleep(Duration::from_millis(5)).await;
        }
        let read = there.get_or_load_many(&wanted, async |_| Ok::<_, Infallible>(Vec::new())).await.remove(0).unwrap();
        // A caller with a servable value serves it at once.
        assert_eq!(read.map(|read| *read.value), (index > 0).then_some(7), "{class:?}");
        poll_until(SOON, async || (there.get_many(&wanted).await == [Lookup::Miss]).then_some(())).await.unwrap();
        one.outlive_l1();
        assert_eq!(handle(&one, class).get_many(&wanted).await, [Lookup::Miss], "{class:?}");
        poll_until(SOON, async || keys(&one.client).await.iter().all(|key| !key.contains("{thing")).then_some(()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_batch_that_only_looks_keeps_the_hard_time_out() {
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
