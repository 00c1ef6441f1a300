//! Promises of the path that every hit takes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;

use allocation_counter::measure;
use futures_util::FutureExt;
use tidegate_cache::{Fill, Key, Lookup, Read, Tag, TieredCache, TtlClass, TypedCache};

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

#[test]
fn a_hit_allocates_nothing() {
    let cache = TieredCache::builder().build();
    let texts = cache.typed::<String>(TtlClass::API);
    let key = Key::builder("k").part(1).build().unwrap();
    now(texts.put(&key, Fill::new("value".to_owned()).tags([Tag::new("a"), Tag::new("b")])));
    let load = async || Ok::<_, Infallible>(Fill::new("never".to_owned()));
    let read = || {
        assert!(matches!(texts.peek(&key), Lookup::Fresh(_)));
        assert!(matches!(texts.fetch(&key, load).now_or_never(), Some(Ok(_))));
    };
    read(); // the thread takes its place among the counters
    let allocations = measure(|| (0..1000).for_each(|_| read()));
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn handles_keys_and_futures_cross_threads() {
    fn assert<T: Send + Sync + Clone>() {}
    fn assert_send<T: Send>(_: T) {}
    assert::<TieredCache>();
    assert::<TypedCache<std::sync::Mutex<u32>>>();
    assert::<(Key, Tag)>();
    let numbers = TieredCache::builder().build().typed::<u32>(TtlClass::API);
    let key = Key::builder("k").build().unwrap();
    assert_send(numbers.fetch(&key, async || Ok::<_, Infallible>(Fill::new(1))));
    fn _read(read: Read<u32>) -> impl Send + Sync {
        read
    }
}
