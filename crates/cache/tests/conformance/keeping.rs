//! A value that must not be kept is in no tier, and the old one is gone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tidegate_cache::{Fill, Key, Lookup, Source, TtlClass, TypedCache};
use tidegate_testkit::poll_until;
use tokio::sync::Notify;

use crate::ground::{Ground, SOON, Store, THINGS, key, keys};

const NEVER: TtlClass = TtlClass::new("never", Duration::ZERO).grace(Duration::from_secs(600));
const KIND: TtlClass = TtlClass::new("kind", Duration::from_secs(600)).grace(Duration::from_secs(600));

async fn until_gone(nodes: [&TypedCache<u32>; 2], key: &Key) {
    for node in nodes {
        let is_gone = async || (node.get(key).await == Lookup::Miss).then_some(());
        poll_until(SOON, is_gone).await.unwrap();
    }
}

/// Both ways to say it.
fn uncached(value: u32) -> [Fill<u32>; 2] {
    [Fill::new(value).uncached(), Fill::new(value).ttl(Duration::ZERO)]
}

pub(crate) async fn what_a_loader_does_not_want_kept_is_not(ground: Ground) {
    let [one, other] = ground.both(KIND);
    for (index, fill) in (0..).zip(uncached(7)) {
        let read = one.fetch(&key(index), async || Ok::<_, Infallible>(fill)).await.unwrap();
        assert_eq!((*read.value, read.source, read.stored), (7, Source::Loaded, false));
        assert_eq!(read.fresh_for, Duration::ZERO);
        for node in [&one, &other] {
            assert_eq!(node.get(&key(index)).await, Lookup::Miss);
        }
    }
}

pub(crate) async fn what_a_load_finds_not_to_be_kept_takes_the_old_value_along(ground: Ground) {
    let [one, other] = ground.both::<u32>(KIND);
    let both = [&one, &other];
    for (index, fill) in (0..).zip(uncached(8)) {
        one.put(&key(index), Fill::new(7).ttl(Duration::from_millis(50))).await;
        let read = async || {
            let fill = fill.clone();
            one.fetch(&key(index), async || Ok::<_, Infallible>(fill)).await.unwrap();
            (one.get(&key(index)).await == Lookup::Miss).then_some(())
        };
        poll_until(SOON, read).await.unwrap();
        until_gone(both, &key(index)).await;
    }
    // So does a value of a batch, and only that one.
    let short = |value| Fill::new(value).ttl(Duration::from_millis(50));
    one.put_many((10..13).map(|index| (key(index), short(index)))).await;
    let read = async || {
        let load = async |missing: Vec<Key>| {
            let fill = |key: Key| {
                let fill = if key == self::key(11) { Fill::new(0).uncached() } else { Fill::new(1) };
                (key, fill)
            };
            Ok::<_, Infallible>(missing.into_iter().map(fill).collect::<Vec<_>>())
        };
        let reads = one.fetch_many(keys(10..13), load).await;
        assert!(reads.iter().all(|read| matches!(read, Ok(Some(_)))));
        (one.get_many(keys([11])).await == [Lookup::Miss]).then_some(())
    };
    poll_until(SOON, read).await.unwrap();
    until_gone(both, &key(11)).await;
    assert!(one.get(&key(10)).await.is_hit() && one.get(&key(12)).await.is_hit());
}

pub(crate) async fn what_is_set_not_to_be_kept_invalidates(ground: Ground) {
    let [one, other] = ground.things();
    let both = [&one, &other];
    let store = Store::holding(7);
    let fill = async |index| {
        for node in both {
            store.through(node, &key(index), &[]).await;
        }
    };
    for (index, uncached) in (0..).zip(uncached(8)) {
        fill(index).await;
        assert!(!one.put(&key(index), uncached).await);
        assert_eq!(one.get(&key(index)).await, Lookup::Miss);
        until_gone(both, &key(index)).await;
    }
    for index in 10..13 {
        fill(index).await;
    }
    let set = [(10, Fill::new(1)), (11, Fill::new(2).uncached()), (12, Fill::new(3).ttl(Duration::ZERO))];
    let kept = one.put_many(set.map(|(index, fill)| (key(index), fill))).await;
    assert_eq!(kept, [true, false, false]);
    assert_eq!(one.get(&key(10)).await.into_fresh().as_deref(), Some(&1));
    until_gone(both, &key(11)).await;
    until_gone(both, &key(12)).await;
    fill(20).await;
    let written = one.write_through(&key(20), async || Ok::<_, Infallible>(Fill::new(9).uncached())).await.unwrap();
    assert!(!written.cached);
    assert_eq!(one.get(&key(20)).await, Lookup::Miss);
    until_gone(both, &key(20)).await;
}

pub(crate) async fn whoever_joins_a_load_has_what_is_not_kept(ground: Ground) {
    let [one, _] = ground.things();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let first = {
        let (one, begun, go_on) = (one.clone(), Arc::clone(&begun), Arc::clone(&go_on));
        tokio::spawn(async move {
            let load = async move || {
                begun.notify_one();
                go_on.notified().await;
                Ok::<_, Infallible>(Fill::new(7).uncached())
            };
            *one.fetch(&key(1), load).await.unwrap().value
        })
    };
    begun.notified().await;
    let second = key(1);
    let joined = one.fetch(&second, async || Ok::<_, Infallible>(Fill::new(8)));
    let released = async {
        let has_joined = async || one.cache().stats().classes.iter().any(|class| class.collapsed > 0).then_some(());
        poll_until(SOON, has_joined).await.unwrap();
        go_on.notify_one();
    };
    let (joined, ()) = futures_util::future::join(joined, released).await;
    let joined = joined.unwrap();
    assert_eq!((*joined.value, joined.source, joined.stored), (7, Source::Collapsed, false));
    assert_eq!(first.await.unwrap(), 7);
}

pub(crate) async fn what_was_set_during_a_load_that_keeps_nothing_stays(ground: Ground) {
    let [one, other] = ground.things();
    let load = {
        let one = one.clone();
        async move || {
            assert!(one.put(&key(1), 8).await);
            Ok::<_, Infallible>(Fill::new(7).uncached())
        }
    };
    assert_eq!(*one.fetch(&key(1), load).await.unwrap().value, 7);
    for node in [one, other] {
        assert_eq!(node.get(&key(1)).await.into_fresh().as_deref(), Some(&8));
    }
}

pub(crate) async fn a_class_without_a_lifetime_keeps_what_has_one_of_its_own(ground: Ground) {
    let [one, other] = ground.both(NEVER);
    let store = Store::holding(1);
    for reads in 1..4 {
        assert!(!store.through(&one, &key(1), &[]).await.stored);
        assert_eq!(store.reads(), reads);
    }
    assert!(!one.put(&key(1), 7).await);
    assert_eq!(one.get(&key(1)).await, Lookup::Miss);
    assert!(one.put(&key(1), Fill::new(7).ttl(THINGS.ttl())).await);
    for node in [one, other] {
        assert_eq!(node.get(&key(1)).await.into_fresh().as_deref(), Some(&7));
    }
}
