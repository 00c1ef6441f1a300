//! Hit ratio of a cache of a given size on generated traces: L1 compared with moka, bare
//! `quick_cache`, LRU and the optimum. A hit ratio depends on the trace and the policy alone, not
//! on the machine.
//!
//! Each cache is queried for the key and stores it after a miss, as with a loader.
//! `benches/src/trace.rs` describes the traces.
#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

use std::num::NonZeroUsize;

use futures_util::FutureExt;
use tidegate_benches::Trace;
use tidegate_cache::{Capacity, Fill, Key, TieredCache, TtlClass, TypedCache};

fn main() {
    println!("| trace | capacity | LRU | moka | quick_cache | tidegate | optimum |");
    println!("|---|---|---|---|---|---|---|");
    for trace in Trace::all() {
        let ratios = [lru(&trace), moka(&trace), quick(&trace), ours(&trace), trace.optimum()];
        let cells: String = ratios.iter().map(|ratio| format!(" {:.1} |", ratio * 100.0)).collect();
        println!("| {} | {} |{cells}", trace.name, trace.capacity);
    }
}

fn lru(trace: &Trace) -> f64 {
    let cache = lru::LruCache::new(NonZeroUsize::new(trace.capacity).expect("some room"));
    let put = |cache: &mut lru::LruCache<u32, ()>, key| {
        cache.put(key, ());
    };
    trace.hit_ratio(cache, |cache, key| cache.get(&key).is_some(), put)
}

fn moka(trace: &Trace) -> f64 {
    let cache = moka::sync::Cache::new(trace.capacity as u64);
    trace.hit_ratio(cache, |cache, key| cache.get(&key).is_some(), |cache, key| cache.insert(key, ()))
}

fn quick(trace: &Trace) -> f64 {
    let cache = quick_cache::sync::Cache::with(
        trace.capacity,
        trace.capacity as u64,
        quick_cache::UnitWeighter,
        foldhash::fast::RandomState::default(),
        quick_cache::sync::DefaultLifecycle::default(),
    );
    trace.hit_ratio(cache, |cache, key| cache.get(&key).is_some(), |cache, key| cache.insert(key, ()))
}

fn ours(trace: &Trace) -> f64 {
    let room = Capacity::Entries(trace.capacity as u64);
    let cache = TieredCache::builder().capacity(room).build().typed::<()>(TtlClass::COMPUTATION);
    let key = |number: u32| Key::builder("trace").part(number).build().expect("a good key");
    // With one tier the call completes at once.
    let set = |cache: &mut TypedCache<()>, number| {
        cache.put(&key(number), Fill::new(())).now_or_never().expect("one tier");
    };
    trace.hit_ratio(cache, |cache, number| cache.peek(&key(number)).into_value().is_some(), set)
}
