//! An invalidated value is gone: at once on the same node, soon on others.

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use tidegate_cache::{Fill, Key, Pattern, Tag, Touched, TypedCache};
use tidegate_testkit::poll_until;

use crate::ground::{Ground, OTHERS, SOON, Store, key, keys, tag};

/// Six things in both nodes, three with one tag and three with another, and one of another class.
struct Scene {
    one: TypedCache<u32>,
    other: TypedCache<u32>,
    others: [TypedCache<u32>; 2],
}

fn odd(index: u32) -> Tag {
    tag(if index % 2 == 1 { "odd" } else { "even" })
}

fn stranger() -> Key {
    Key::builder("other").part(1).build().unwrap()
}

impl Scene {
    async fn of(ground: &Ground) -> Self {
        let [one, other] = ground.things();
        let others = ground.both(OTHERS);
        let store = Store::default();
        for node in [&one, &other] {
            for index in 0..6 {
                store.through(node, &key(index), &[odd(index), tag("all")]).await;
            }
        }
        for node in &others {
            store.through(node, &stranger(), &[]).await;
        }
        assert_eq!(store.reads(), 7);
        Self { one, other, others }
    }

    /// Returns the keys that still exist on the invalidating node, without any load. The other node
    /// must have the same.
    async fn left(&self) -> Vec<u32> {
        let left = async |node: &TypedCache<u32>, others: &TypedCache<u32>| {
            let found = node.get_many(keys(0..6)).await.into_iter().chain(others.get_many([stranger()]).await);
            let found = found.zip(0..).filter(|(found, _)| found.is_hit());
            found.map(|(_, index)| index).collect::<Vec<_>>()
        };
        let here = left(&self.one, &self.others[0]).await;
        let agree = async || (left(&self.other, &self.others[1]).await == here).then_some(());
        poll_until(SOON, agree).await.unwrap();
        here
    }
}

pub(crate) async fn a_key_is_gone_for_all(ground: Ground) {
    let scene = Scene::of(&ground).await;
    assert!(ground.one.remove(&key(2)).await.unwrap());
    assert_eq!(scene.left().await, [0, 1, 3, 4, 5, 6]);
    assert!(!ground.one.remove(&key(2)).await.unwrap());
}

pub(crate) async fn many_keys_are_gone_for_all(ground: Ground) {
    let scene = Scene::of(&ground).await;
    assert_eq!(ground.one.remove_many(&keys([0, 3, 5, 77])).await.unwrap(), 3);
    assert_eq!(scene.left().await, [1, 2, 4, 6]);
}

pub(crate) async fn a_tag_takes_its_own_alone(ground: Ground) {
    let scene = Scene::of(&ground).await;
    ground.one.invalidate_tag(&tag("odd")).await.unwrap();
    assert_eq!(scene.left().await, [0, 2, 4, 6]);
    ground.one.invalidate_tag(&tag("nobody's")).await.unwrap();
    assert_eq!(scene.left().await, [0, 2, 4, 6]);
    ground.one.invalidate_tag(&tag("all")).await.unwrap();
    assert_eq!(scene.left().await, [6]);
    // A tag can be used again.
    let store = Store::holding(1);
    for node in [&scene.one, &scene.other] {
        assert_eq!(*store.through(node, &key(1), &[tag("odd")]).await.value, 1);
    }
    assert_eq!(store.reads(), 1);
}

pub(crate) async fn a_class_takes_its_own_alone(ground: Ground) {
    let scene = Scene::of(&ground).await;
    assert!(ground.one.invalidate_class("things").await.unwrap());
    assert_eq!(scene.left().await, [6]);
    assert!(ground.one.invalidate_class("others").await.unwrap());
    assert!(scene.left().await.is_empty());
}

pub(crate) async fn a_pattern_takes_what_it_matches_alone(ground: Ground) {
    let scene = Scene::of(&ground).await;
    ground.one.invalidate_pattern(&Pattern::parse("thing:?").unwrap()).await.unwrap();
    assert_eq!(scene.left().await, [6]);
    ground.one.invalidate_pattern(&Pattern::parse("oth:*").unwrap()).await.unwrap();
    assert_eq!(scene.left().await, [6], "a prefix ends where a part does");
    ground.one.invalidate_pattern(&Pattern::parse("other:*").unwrap()).await.unwrap();
    assert!(scene.left().await.is_empty());
}

pub(crate) async fn clearing_takes_everything(ground: Ground) {
    let scene = Scene::of(&ground).await;
    ground.one.clear().await.unwrap();
    assert!(scene.left().await.is_empty());
}

pub(crate) async fn several_at_once(ground: Ground) {
    let scene = Scene::of(&ground).await;
    let touched = Touched::new().key(&key(0)).tag(&tag("odd")).key(&stranger());
    ground.one.invalidate(&touched).await.unwrap();
    assert_eq!(scene.left().await, [2, 4]);
}

pub(crate) async fn nothing_may_be_invalidated(ground: Ground) {
    let scene = Scene::of(&ground).await;
    ground.one.invalidate(&Touched::new()).await.unwrap();
    assert_eq!(ground.one.remove_many(&[]).await.unwrap(), 0);
    assert_eq!(scene.left().await, [0, 1, 2, 3, 4, 5, 6]);
}

pub(crate) async fn what_a_load_brings_too_late_is_not_kept(ground: Ground) {
    for (index, way) in (0..).zip(["key", "tag", "class", "pattern", "all"]) {
        let [one, other] = ground.things();
        let store = Store::holding(1);
        let load = {
            let (store, invalidator) = (store.clone(), ground.other.clone());
            async move || {
                let old = store.read();
                store.row.store(2, Ordering::SeqCst);
                let pattern = Pattern::parse("thing:*").unwrap();
                match way {
                    "key" => invalidator.remove(&key(index)).await.map(|_| ()),
                    "tag" => invalidator.invalidate_tag(&tag("late")).await,
                    "class" => invalidator.invalidate_class("things").await.map(|_| ()),
                    "pattern" => invalidator.invalidate_pattern(&pattern).await.map(|_| ()),
                    _ => invalidator.clear().await,
                }
                .unwrap();
                Ok::<_, Infallible>(Fill::new(old).tag(tag("late")))
            }
        };
        one.fetch(&key(index), load).await.unwrap();
        for node in [&other, &one] {
            store.until_read(node, &key(index), 2).await;
        }
    }
}

pub(crate) async fn what_a_batch_brings_too_late_is_not_kept(ground: Ground) {
    let [one, other] = ground.things();
    let load = {
        let invalidator = ground.other.clone();
        async move |missing: Vec<Key>| {
            invalidator.invalidate(&Touched::new().key(&key(1)).tag(&tag("late"))).await.unwrap();
            let tagged = |key: &Key| if *key == self::key(2) { vec![tag("late")] } else { Vec::new() };
            let filled = missing.into_iter().map(|key| (key.clone(), Fill::new(1).tags(tagged(&key))));
            Ok::<_, Infallible>(filled.collect::<Vec<_>>())
        }
    };
    assert!(one.fetch_many(keys(0..4), load).await.iter().all(Result::is_ok));
    let store = Store::holding(2);
    for node in [&other, &one] {
        for (index, expected) in (0..).zip([1, 2, 2, 1]) {
            store.until_read(node, &key(index), expected).await;
        }
    }
}
