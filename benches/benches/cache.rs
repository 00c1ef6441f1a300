//! L1 hits and keys, compared with bare `quick_cache` (on which L1 is built) and `moka`.
//!
//! 100,000 keys, all held; values of 256 bytes behind an `Arc`; accesses by Zipf's law with
//! exponent 0.99. Lookups use copies of the keys, as a request would, not the very string that the
//! cache holds.
//!
//! `String` keys are hashed by the standard library's `RandomState` (`SipHash`). It is moka's
//! default, ours when a key is built, and `quick_cache`'s with the features that this workspace
//! enables. A Tidegate key carries its hash, so its lookup hashes nothing. "Pre-hashed"
//! `quick_cache` takes the same keys and is the lower bound for L1.

use std::convert::Infallible;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use futures_util::FutureExt;
use tidegate_benches::{Order, brief, side_by_side};
use tidegate_cache::{Capacity, Fill, Key, Tag, TieredCache, TtlClass, TypedCache};

const KEYS: u32 = 100_000;
/// Twice the keys, so that nothing is evicted however unevenly shards fill.
const CAPACITY: u64 = 2 * KEYS as u64;

type Value = [u8; 256];

fn main() {
    let mut criterion = brief(Duration::from_secs(2));
    hits(&mut criterion);
    keys(&mut criterion);
    criterion.final_summary();
}

fn hits(criterion: &mut Criterion) {
    let order = Order::zipf(KEYS, 0.99);
    let keys: Vec<Key> = (0..KEYS).map(key).collect();
    let texts: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    let mut bench = |name: &str, read: &(dyn Fn(usize) + Sync)| compare(criterion, name, &order, read);

    bench("nothing but picking the key", &|index| {
        black_box(&keys[index]);
    });

    let ours = filled(|_| Vec::new());
    bench("tidegate get", &|index| {
        black_box(ours.peek(&keys[index]).into_value().expect("all keys are held"));
    });
    bench("tidegate fetch", &|index| {
        let load = async || Ok::<_, Infallible>(Fill::new([0; 256]));
        let read = ours.fetch(&keys[index], load).now_or_never();
        black_box(read.expect("a hit is ready").is_ok());
    });

    let tagged = filled(|number| vec![Tag::of(["tenant", &(number % 1000).to_string()]), Tag::new("schedules")]);
    bench("tidegate get, two tags", &|index| {
        black_box(tagged.peek(&keys[index]).into_value().expect("all keys are held"));
    });

    let room = usize::try_from(CAPACITY).expect("fits");
    let hour = Duration::from_hours(1);
    let restless = TtlClass::new("restless", hour).sliding(hour * 24).refresh_ahead(hour / 12).early_refresh(100);
    let prolonged = filled_in(restless.jitter(10), |_| Vec::new());
    bench("tidegate get, sliding and refreshed ahead", &|index| {
        black_box(prolonged.peek(&keys[index]).into_value().expect("all keys are held"));
    });

    let bare = quick_cache::sync::Cache::<String, Arc<Value>, _, RandomState>::with(
        room,
        CAPACITY,
        quick_cache::UnitWeighter,
        RandomState::new(),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    texts.iter().for_each(|text| bare.insert(text.clone(), Arc::new([0; 256])));
    bench("quick_cache, String", &|index| {
        black_box(bare.get(texts[index].as_str()).expect("all keys are held"));
    });

    let floor = quick_cache::sync::Cache::<Key, Arc<Value>, _, PreHashed>::with(
        room,
        CAPACITY,
        quick_cache::UnitWeighter,
        PreHashed,
        quick_cache::sync::DefaultLifecycle::default(),
    );
    (0..KEYS).for_each(|number| floor.insert(key(number), Arc::new([0; 256])));
    bench("quick_cache, pre-hashed", &|index| {
        black_box(floor.get(&keys[index]).expect("all keys are held"));
    });

    let plain = moka::sync::Cache::<String, Arc<Value>>::new(CAPACITY);
    texts.iter().for_each(|text| plain.insert(text.clone(), Arc::new([0; 256])));
    plain.run_pending_tasks();
    bench("moka, String", &|index| {
        black_box(plain.get(texts[index].as_str()).expect("all keys are held"));
    });

    let expiring = moka::sync::Cache::<String, Arc<Value>>::builder()
        .max_capacity(CAPACITY)
        .time_to_live(Duration::from_secs(7200))
        .build();
    texts.iter().for_each(|text| expiring.insert(text.clone(), Arc::new([0; 256])));
    expiring.run_pending_tasks();
    bench("moka, String, time to live", &|index| {
        black_box(expiring.get(texts[index].as_str()).expect("all keys are held"));
    });
}

/// On one thread, and on two at once: then the time of a lookup on each of them.
fn compare(criterion: &mut Criterion, name: &str, order: &Order, read: &(dyn Fn(usize) + Sync)) {
    criterion.benchmark_group("cache hit, 1 thread").bench_function(name, |bencher| {
        let mut walk = order.walk(0);
        bencher.iter(|| read(walk.step()));
    });
    criterion.benchmark_group("cache hit, 2 threads").bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            side_by_side(2, |number| {
                let mut walk = order.walk(number);
                (0..iterations).for_each(|_| read(walk.step()));
            })
        });
    });
}

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cache key");
    let mut number = 0_u32;
    let mut next = move || {
        number = number.wrapping_add(1);
        black_box((number % 1000, number))
    };
    group.bench_function("tidegate, two parts", |bencher| {
        bencher.iter(|| {
            let (tenant, id) = next();
            Key::builder("schedule").part(tenant).part(id).build()
        });
    });
    group.bench_function("tidegate, two parts and two named", |bencher| {
        bencher.iter(|| {
            let (tenant, id) = next();
            Key::builder("schedule").part(tenant).part(id).named("page", 3).named("limit", 50).build()
        });
    });
    group.bench_function("format!, two parts", |bencher| {
        bencher.iter(|| {
            let (tenant, id) = next();
            format!("schedule:{tenant}:{id}")
        });
    });
    let hasher = RandomState::new();
    group.bench_function("format!, two parts, shared and hashed", |bencher| {
        bencher.iter(|| {
            let (tenant, id) = next();
            let text: Arc<str> = format!("schedule:{tenant}:{id}").into();
            (hasher.hash_one(&text), text)
        });
    });
}

fn key(number: u32) -> Key {
    let tenant = number % 1000;
    Key::builder("schedule").part(tenant).part(number).build().expect("a good key")
}

fn filled(tags: impl Fn(u32) -> Vec<Tag>) -> TypedCache<Value> {
    filled_in(TtlClass::COMPUTATION, tags)
}

fn filled_in(class: TtlClass, tags: impl Fn(u32) -> Vec<Tag>) -> TypedCache<Value> {
    let cache = TieredCache::builder().capacity(Capacity::Entries(CAPACITY)).build().typed(class);
    for number in 0..KEYS {
        // With one tier the call completes at once.
        let set = cache.put(&key(number), Fill::new([0; 256]).tags(tags(number))).now_or_never();
        assert_eq!(set, Some(true), "there is room");
    }
    cache
}

/// Takes the hash that a [`Key`] carries.
#[derive(Clone)]
struct PreHashed;

impl BuildHasher for PreHashed {
    type Hasher = Carried;

    fn build_hasher(&self) -> Carried {
        Carried(0)
    }
}

struct Carried(u64);

impl Hasher for Carried {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key writes its hash alone");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
