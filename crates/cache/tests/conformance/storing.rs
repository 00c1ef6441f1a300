//! Values of callers.

use std::convert::Infallible;

use tidegate_cache::{Fill, Key, Lookup};
use tidegate_testkit::poll_until;

use crate::ground::{Ground, SOON, Store, THINGS, key, keys};

pub(crate) async fn nothing_is_a_miss(ground: Ground) {
    for node in ground.things() {
        assert_eq!((node.peek(&key(1)), node.get(&key(1)).await), (Lookup::Miss, Lookup::Miss));
        assert!(node.get_many(keys(0..3)).await.iter().all(|found| *found == Lookup::Miss));
        assert!(node.get_many(Vec::<Key>::new()).await.is_empty());
        assert!(!node.contains(&key(1)) && node.ttl(&key(1)).is_none());
    }
}

pub(crate) async fn what_is_set_is_found_by_all(ground: Ground) {
    let [one, other] = ground.things();
    let store = Store::default();
    assert!(one.put(&key(1), 7).await);
    assert_eq!(one.peek(&key(1)).into_value().as_deref(), Some(&7));
    assert!(one.contains(&key(1)) && one.ttl(&key(1)).is_some_and(|left| left <= THINGS.ttl()));
    assert_eq!(other.get(&key(1)).await.into_fresh().as_deref(), Some(&7));
    assert_eq!(other.peek(&key(1)).into_fresh().as_deref(), Some(&7), "kept in L1");
    assert_eq!(*store.through(&other, &key(1), &[]).await.value, 7);
    assert_eq!(store.reads(), 0);
    assert_eq!(other.peek(&key(2)), Lookup::Miss);
}

pub(crate) async fn the_last_one_set_is_found(ground: Ground) {
    let [one, other] = ground.things();
    let store = Store::default();
    for value in 0..20 {
        let (writer, reader) = if value % 2 == 0 { (&one, &other) } else { (&other, &one) };
        assert!(writer.put(&key(1), value).await);
        assert_eq!(*store.through(writer, &key(1), &[]).await.value, value, "its own write");
        store.until_read(reader, &key(1), value).await;
    }
    assert_eq!(store.reads(), 0);
}

pub(crate) async fn many_are_set_and_found_in_order(ground: Ground) {
    let [one, other] = ground.things();
    assert!(one.put_many(Vec::<(Key, u32)>::new()).await.is_empty());
    let kept = one.put_many((0..300).map(|index| (key(index), Fill::new(index * 10)))).await;
    assert!(kept.len() == 300 && kept.iter().all(|kept| *kept));
    for node in [one, other] {
        let wanted = [299, 1_000, 0, 5, 5];
        let found: Vec<_> = node.get_many(keys(wanted)).await.into_iter().map(Lookup::into_value).collect();
        let found: Vec<_> = found.iter().map(|value| value.as_deref().copied()).collect();
        assert_eq!(found, [Some(2_990), None, Some(0), Some(50), Some(50)]);
    }
}

pub(crate) async fn any_key_is_itself_alone(ground: Ground) {
    let [one, other] = ground.things();
    let parts =
        ["*", "?", "[a]", "{a}", "{", "}", "a:b", "a%3Ab", "%", "", " ", "\n", "\0", "ä", "🦀", "t:{t:", "\\*", "#"];
    let build = |first: &str, second: &str| Key::builder("k").part(first).part(second).build().unwrap();
    let all: Vec<_> = parts.iter().flat_map(|first| parts.map(|second| build(first, second))).collect();
    let numbered = all.iter().cloned().zip(0_u32..);
    one.put_many(numbered.clone().map(|(key, number)| (key, Fill::new(number)))).await;
    let found = other.get_many(&all).await;
    for ((key, number), found) in numbered.zip(found) {
        assert_eq!(found.into_value().as_deref(), Some(&number), "{key}");
    }
    for gone in [0, 7, 100, all.len() - 1] {
        one.remove(&all[gone]).await.unwrap();
        let found = async || {
            let found = other.get_many(&all).await.into_iter().filter(|found| *found == Lookup::Miss).count();
            (found == 1).then_some(())
        };
        poll_until(SOON, found).await.unwrap();
        one.put(&all[gone], u32::try_from(gone).unwrap()).await;
        assert!(!other.get_many(&all).await.contains(&Lookup::Miss));
    }
}

pub(crate) async fn a_value_may_be_empty_or_long(ground: Ground) {
    let [one, other] = ground.both::<String>(THINGS);
    for length in [0, 1, 1_000, 500_000] {
        let value = "ö".repeat(length);
        assert!(one.put(&key(1), value.clone()).await);
        let read = async || {
            let load = async || Ok::<_, Infallible>(Fill::new("from the store".to_owned()));
            (*other.fetch(&key(1), load).await.unwrap().value == value).then_some(())
        };
        poll_until(SOON, read).await.unwrap();
    }
}
