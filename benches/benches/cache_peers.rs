//! L1 hits compared with bare `quick_cache`, on which L1 is built, and `moka`. Rounds take turns,
//! and the processor time of one thread is measured, so the ratios hold on a busy machine too. A
//! ratio below 1 means that ours is faster.
//!
//! 100,000 keys, all held, values of 256 bytes behind an `Arc`, accesses by Zipf's law with
//! exponent 0.99. Each side looks up copies of its keys, built before. The peers have `String` keys
//! and the hasher that their own documentation begins with: `quick_cache` foldhash, through its
//! default feature's crate, `moka` `SipHash`. Each is measured without a time to live, and with one
//! if it supports it.
#![expect(clippy::print_stdout, reason = "this is what it is run for")]

use std::convert::Infallible;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_benches::{Comparison, Order};
use tidegate_cache::{Capacity, Fill, Key, Tag, TieredCache, TtlClass, TypedCache};

const KEYS: u32 = 100_000;
/// Twice the keys, so that nothing is evicted however unevenly shards fill.
const CAPACITY: u64 = 2 * KEYS as u64;
const ROUNDS: usize = 41;
const STEPS: u32 = 200_000;

type Value = [u8; 256];

fn main() {
    let order = Order::zipf(KEYS, 0.99);
    let keys: Vec<Key> = (0..KEYS).map(key).collect();
    let texts: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    let compare = |name: &str, ours: &dyn Fn(usize), theirs: &dyn Fn(usize)| {
        let (mut our_walk, mut their_walk) = (order.walk(0), order.walk(1));
        let compared = Comparison::in_turns(
            ROUNDS,
            STEPS,
            |steps| (0..steps).for_each(|_| ours(our_walk.step())),
            |steps| (0..steps).for_each(|_| theirs(their_walk.step())),
        );
        println!("{name}: {compared}");
    };

    let plain = filled(|_| Vec::new());
    let get = |index: usize| drop(black_box(plain.peek(&keys[index]).into_value().expect("all keys are held")));
    let fetch = |index: usize| {
        let load = async || Ok::<_, Infallible>(Fill::new([0; 256]));
        let read = plain.fetch(&keys[index], load).now_or_never();
        drop(black_box(read.expect("a hit is ready").expect("no load fails")));
    };
    let tagged = filled(|number| vec![Tag::of(["tenant", &(number % 1000).to_string()]), Tag::new("schedules")]);
    let get_tagged = |index: usize| drop(black_box(tagged.peek(&keys[index]).into_value().expect("all keys are held")));

    let quick = quick(foldhash::fast::RandomState::default(), &texts);
    let quick = |index: usize| drop(black_box(quick.get(texts[index].as_str()).expect("all keys are held")));
    compare("get, beside quick_cache", &get, &quick);
    compare("fetch, beside quick_cache", &fetch, &quick);

    let moka = moka(moka::sync::Cache::builder(), &texts);
    let moka = |index: usize| drop(black_box(moka.get(texts[index].as_str()).expect("all keys are held")));
    compare("get, beside moka", &get, &moka);
    compare("fetch, beside moka", &fetch, &moka);
    let expiring = self::moka(moka::sync::Cache::builder().time_to_live(Duration::from_secs(7200)), &texts);
    let expiring = |index: usize| drop(black_box(expiring.get(texts[index].as_str()).expect("all keys are held")));
    compare("get, beside moka with a time to live", &get, &expiring);

    compare("get with two tags, beside get without", &get_tagged, &get);
}

fn key(number: u32) -> Key {
    let tenant = number % 1000;
    Key::builder("schedule").part(tenant).part(number).build().expect("a good key")
}

fn filled(tags: impl Fn(u32) -> Vec<Tag>) -> TypedCache<Value> {
    let cache = TieredCache::builder().capacity(Capacity::Entries(CAPACITY)).build().typed(TtlClass::COMPUTATION);
    for number in 0..KEYS {
        // With one tier the call completes at once.
        let set = cache.put(&key(number), Fill::new([0; 256]).tags(tags(number))).now_or_never();
        assert_eq!(set, Some(true), "there is room");
    }
    cache
}

fn quick<H: BuildHasher + Clone>(
    hasher: H,
    texts: &[String],
) -> quick_cache::sync::Cache<String, Arc<Value>, quick_cache::UnitWeighter, H> {
    let room = usize::try_from(CAPACITY).expect("fits");
    let lifecycle = quick_cache::sync::DefaultLifecycle::default();
    let cache = quick_cache::sync::Cache::with(room, CAPACITY, quick_cache::UnitWeighter, hasher, lifecycle);
    texts.iter().for_each(|text| cache.insert(text.clone(), Arc::new([0; 256])));
    cache
}

fn moka(
    builder: moka::sync::CacheBuilder<String, Arc<Value>, moka::sync::Cache<String, Arc<Value>>>,
    texts: &[String],
) -> moka::sync::Cache<String, Arc<Value>> {
    let cache = builder.max_capacity(CAPACITY).build();
    texts.iter().for_each(|text| cache.insert(text.clone(), Arc::new([0; 256])));
    cache.run_pending_tasks();
    cache
}
