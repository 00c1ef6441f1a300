//! A value that one node loads is found by the others; so is a change that one node makes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_cache::{Codec, CodecError, Fill, Json, Key, Lookup, Pattern, Source, Tag, Touched, TtlClass};
use tokio::task::JoinSet;

use crate::ground::{CLASS, Node, Store, foreign, key, keys, server_and_nodes, tag};

#[tokio::test]
async fn a_value_loaded_by_one_node_is_found_by_the_other() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    assert_eq!(one.read(1, &store).await.source, Source::Loaded);
    let read = other.read(1, &store).await;
    assert_eq!((*read.value, read.source, read.stored), (0, Source::Shared, true));
    // L1 is capped.
    assert!(read.fresh_for <= Duration::from_secs(60));
    assert_eq!(one.read(1, &store).await.source, Source::Hit);
    assert_eq!(other.read(1, &store).await.source, Source::Hit);
    other.outlive_l1();
    assert_eq!(other.read(1, &store).await.source, Source::Shared);
    assert_eq!(store.reads(), 1);
    assert_eq!((one.l2().hits, one.l2().misses, other.l2().hits), (0, 1, 2));
    assert_eq!((one.l2().errors, other.l2().errors), (0, 0), "{:?}", one.listener.0);
}

#[tokio::test]
async fn every_key_has_an_expiry() {
    let (_server, [one]) = server_and_nodes().await;
    let store = Store::default();
    one.read(1, &store).await;
    one.things.put(&key(2), Fill::new(2).tag(tag())).await;
    one.cache.remove(&key(3)).await.unwrap();
    one.cache.invalidate_tag(&tag()).await.unwrap();
    one.cache.invalidate_class("things").await.unwrap();
    one.cache.invalidate_pattern(&Pattern::parse("x:*").unwrap()).await.unwrap();
    one.cache.clear().await.unwrap();
    let keys = keys(&one.client).await;
    // Marks and placeholders of invalidated keys are deleted already: their expiry would be
    // reported as a change.
    assert!(keys.len() >= 4 && !keys.iter().any(|key| key.starts_with("tg:cn:")), "{keys:?}");
    for key in keys {
        let left = foreign(&one.client, &["PTTL", &key]).await.as_int().unwrap();
        assert!(left > 0 || left == -2, "{key} expires in {left} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_nodes_that_miss_together_make_one_load() {
    let (_server, nodes) = server_and_nodes::<3>().await;
    for index in 0..20 {
        let store = Store::slow(Duration::from_millis(50));
        let mut callers = JoinSet::new();
        for caller in 0..60 {
            let (node, store): (Node, _) = (nodes[caller % 3].clone(), store.clone());
            callers.spawn(async move { node.read(index, &store).await });
        }
        callers.join_all().await;
        assert_eq!(store.reads(), 1);
    }
}

#[tokio::test]
async fn a_shared_load_continues_when_its_caller_leaves() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::slow(Duration::from_millis(100));
    let first = tokio::time::timeout(Duration::from_millis(30), one.read(1, &store)).await;
    assert!(first.is_err());
    assert_eq!(other.read(1, &store).await.source, Source::Shared);
    assert_eq!(store.reads(), 1);
}

#[test]
fn other_nodes_do_not_wait_long_for_a_dead_node() {
    let gone = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stays = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, [one]) = gone.block_on(server_and_nodes::<1>());
    let never = Store::slow(Duration::from_secs(3600));
    let started =
        gone.spawn(async move { drop(tokio::time::timeout(Duration::from_millis(200), one.read(1, &never)).await) });
    gone.block_on(started).unwrap();
    // None of its tasks continues, not even one that would give the fence back.
    gone.shutdown_background();
    stays.block_on(async {
        let other = Node::start(&server.url()).await;
        let store = Store::default();
        let read = tokio::time::timeout(Duration::from_secs(5), other.read(1, &store)).await.unwrap();
        assert_eq!((read.source, read.stored, store.reads()), (Source::Loaded, true, 1));
        other.outlive_l1();
        assert_eq!(other.read(1, &store).await.source, Source::Shared);
    });
}

#[tokio::test]
async fn a_load_that_fails_lets_the_next_node_load_at_once() {
    let (_server, [one, other]) = server_and_nodes().await;
    let failed = one.things.fetch(&key(1), async || Err::<Fill<u32>, _>("down")).await;
    assert!(failed.is_err());
    let panicked = one.things.fetch(&key(2), async || -> Result<Fill<u32>, ()> { panic!("on purpose") }).await;
    assert!(panicked.is_err());
    for index in [1, 2] {
        let read =
            tokio::time::timeout(Duration::from_millis(900), other.read(index, &Store::default())).await.unwrap();
        assert_eq!((read.source, read.stored), (Source::Loaded, true));
    }
}

#[tokio::test]
async fn a_value_set_by_one_node_is_read_by_the_other() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    other.read(1, &store).await;
    assert!(one.things.put(&key(1), Fill::new(7).tag(tag())).await);
    other.outlive_l1();
    let read = other.read(1, &store).await;
    assert_eq!((*read.value, read.source), (7, Source::Shared));
    assert_eq!(one.things.peek(&key(1)), Lookup::Fresh(Arc::new(7)));
    // A load that began before may not overwrite it.
    other.cache.remove(&key(1)).await.unwrap();
    let slow = Store::slow(Duration::from_millis(100));
    let (loading, node) = (slow.clone(), other.clone());
    let load = tokio::spawn(async move { node.read(1, &loading).await });
    while slow.reads() == 0 {
        tokio::task::yield_now().await;
    }
    one.things.put(&key(1), 8).await;
    assert!(!load.await.unwrap().stored);
    assert_eq!((*other.read(1, &store).await.value, store.reads()), (8, 1));
}

#[tokio::test]
async fn tags_classes_and_everything_are_invalidated_on_all_nodes() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    let mut loads = 0;
    for round in 0..20 {
        for node in [&one, &other] {
            node.outlive_l1();
            node.read(1, &store).await;
        }
        loads += 1;
        assert_eq!(store.reads(), loads, "round {round}");
        match round % 4 {
            0 => one.cache.invalidate_tag(&tag()).await.unwrap(),
            1 => assert!(one.cache.invalidate_class("things").await.unwrap()),
            2 => one.cache.clear().await.unwrap(),
            _ => one.cache.invalidate(&Touched::new().key(&key(1))).await.unwrap(),
        }
        assert!(!one.has(1));
        tidegate_testkit::poll_until(crate::ground::SOON, async || (!other.has(1)).then_some(())).await.unwrap();
    }
    // Other values stay.
    one.read(1, &store).await;
    one.cache.invalidate_tag(&Tag::new("other")).await.unwrap();
    one.cache.invalidate_class("other").await.unwrap();
    one.outlive_l1();
    assert_eq!(one.read(1, &store).await.source, Source::Shared);
}

#[tokio::test]
async fn a_pattern_removes_exactly_what_matches_on_all_nodes() {
    let (_server, [one, other]) = server_and_nodes().await;
    let named = |name: &str| Key::builder("user").part(name).build().unwrap();
    let names = ["a", "ä", "ab", "a*", "a[b]", "b"];
    let answers = one.cache.typed_with_codec::<u32>(TtlClass::API, Json::new());
    for node in [&one, &other] {
        node.things.put(&Key::builder("usersAbc").build().unwrap(), 0).await;
        for name in names {
            node.things.put(&named(name), 0).await;
        }
    }
    let answer = Key::builder("user").part("answer").build().unwrap();
    answers.put(&answer, 0).await;
    let has = async |node: &Node, key: &Key| {
        node.outlive_l1();
        node.things.fetch(key, async || Err::<Fill<u32>, _>(())).await.is_ok()
    };
    one.cache.invalidate_pattern(&Pattern::parse("user:?").unwrap()).await.unwrap();
    for name in names {
        let is_gone = name.chars().count() == 1;
        assert_eq!(has(&other, &named(name)).await, !is_gone, "{name}");
        assert_eq!(has(&one, &named(name)).await, !is_gone, "{name}");
    }
    // Of one class only.
    one.cache.invalidate_pattern_of("things", &Pattern::parse("user:*").unwrap()).await.unwrap();
    for name in names {
        assert!(!has(&other, &named(name)).await, "{name}");
    }
    one.outlive_l1();
    let read = answers.fetch(&answer, async || Err::<Fill<u32>, _>(())).await.unwrap();
    assert_eq!(read.source, Source::Shared);
    assert!(has(&other, &Key::builder("usersAbc").build().unwrap()).await);
}

#[tokio::test]
async fn thousands_of_keys_go_by_pattern_and_the_others_stay() {
    let (_server, [one]) = server_and_nodes().await;
    let key = |kind: &str, index: u32| Key::builder(kind).part(index).build().unwrap();
    for index in 0..3000 {
        one.things.put(&key("goes", index), index).await;
        one.things.put(&key("stays", index), index).await;
    }
    assert_eq!(one.cache.invalidate_pattern(&Pattern::parse("goes:*").unwrap()).await.unwrap(), 3000);
    let held = keys(&one.client).await;
    assert_eq!(held.iter().filter(|key| key.contains("goes:")).count(), 0);
    assert_eq!(held.iter().filter(|key| key.contains("stays:")).count(), 3000);
}

/// Versions of one codec, with a small limit.
struct Versioned(u8);

impl Codec<u32> for Versioned {
    fn version(&self) -> u8 {
        self.0
    }

    fn encode(&self, value: &u32) -> Result<Vec<u8>, CodecError> {
        Ok(vec![0; *value as usize])
    }

    fn decode(&self, bytes: &[u8]) -> Result<u32, CodecError> {
        u32::try_from(bytes.len()).map_err(CodecError::failed)
    }

    fn limit(&self) -> usize {
        100
    }
}

#[tokio::test]
async fn bytes_that_cannot_be_read_are_reported_and_replaced() {
    let (_server, [one, other]) = server_and_nodes().await;
    let (old, new) =
        (one.cache.typed_with_codec(CLASS, Versioned(1)), other.cache.typed_with_codec(CLASS, Versioned(2)));
    old.put(&key(1), 3).await;
    let read = new.fetch(&key(1), async || Ok::<_, ()>(Fill::new(4))).await.unwrap();
    assert_eq!((*read.value, read.source, read.stored), (4, Source::Loaded, true));
    assert!(
        other.listener.0.lock().unwrap()[0].contains("Version { found: 1, expected: 2 }"),
        "{:?}",
        other.listener.0
    );
    // Bytes of another program.
    foreign(&one.client, &["SET", "tg:c:{thing:t1:1}", "nonsense"]).await;
    tidegate_testkit::poll_until(crate::ground::SOON, async || (!other.has(1)).then_some(())).await.unwrap();
    let read = new.fetch(&key(1), async || Ok::<_, ()>(Fill::new(5))).await.unwrap();
    assert_eq!((*read.value, read.source, read.stored), (5, Source::Loaded, true));
    assert_eq!(other.l2().codec_errors, 2);
    other.outlive_l1();
    let read = new.fetch(&key(1), async || Ok::<_, ()>(Fill::new(6))).await.unwrap();
    assert_eq!((*read.value, read.source), (5, Source::Shared));
    // Too large for L2: not shared, and the old smaller value is gone.
    assert!(!new.put(&key(1), 101).await);
    assert_eq!(new.peek(&key(1)), Lookup::Miss);
    other.outlive_l1();
    let read = new.fetch(&key(1), async || Ok::<_, ()>(Fill::new(102))).await.unwrap();
    assert_eq!((*read.value, read.source, read.stored), (102, Source::Loaded, true));
    assert_eq!((other.l2().codec_errors, other.l2().errors), (4, 0));
}

#[tokio::test]
async fn a_handle_without_codec_stays_in_l1() {
    let (_server, [one]) = server_and_nodes().await;
    let local = one.cache.typed::<u32>(CLASS);
    local.fetch(&key(1), async || Ok::<_, ()>(Fill::new(1))).await.unwrap();
    local.put(&key(2), 2).await;
    assert_eq!(keys(&one.client).await, Vec::<String>::new());
    assert_eq!((one.l2().hits, one.l2().misses), (0, 0));
}

#[tokio::test]
async fn a_flush_brings_nothing_back() {
    let (_server, [one, other]) = server_and_nodes().await;
    let store = Store::default();
    one.read(1, &store).await;
    other.read(1, &store).await;
    let slow = Store::slow(Duration::from_millis(100));
    let (loading, node) = (slow.clone(), other.clone());
    let load = tokio::spawn(async move { node.read(2, &loading).await });
    while slow.reads() == 0 {
        tokio::task::yield_now().await;
    }
    store.row.store(1, Ordering::SeqCst);
    foreign(&one.client, &["FLUSHALL"]).await;
    assert!(!load.await.unwrap().stored, "its fence is gone");
    for node in [&one, &other] {
        tidegate_testkit::poll_until(crate::ground::SOON, async || (!node.has(1)).then_some(())).await.unwrap();
    }
    assert_eq!(*one.read(1, &store).await.value, 1);
    let read = other.read(1, &store).await;
    assert_eq!((*read.value, read.source), (1, Source::Shared));
}
