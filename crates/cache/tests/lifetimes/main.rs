//! Lifetimes: spread, refreshed ahead or randomly, extended by reads, absent, confirmed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_cache::{Fill, Key, ManualClock, Read, Source, TieredCache, TtlClass, TypedCache};

mod absence;
mod ahead;
mod revalidation;
mod sliding;
mod spread;

/// With L1 alone, no call waits.
fn now<T>(done: impl Future<Output = T>) -> T {
    done.now_or_never().expect("nothing to wait for")
}

const HOUR: TtlClass = TtlClass::new("hour", Duration::from_secs(3600));

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn key(index: u32) -> Key {
    Key::builder("k").part(index).build().unwrap()
}

/// One thread: a load behind the answer ends when its task gets its turn.
async fn let_others_run() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

struct Scene {
    clock: ManualClock,
    cache: TypedCache<u32>,
    loads: Arc<AtomicU32>,
}

impl Scene {
    fn new(class: TtlClass) -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).seed(1).build().typed(class);
        Self { clock, cache, loads: Arc::default() }
    }

    /// Reads key 1. A load takes `cost` and returns the number of loads so far.
    async fn read_at_cost(&self, cost: Duration) -> Read<u32> {
        let (loads, clock) = (Arc::clone(&self.loads), self.clock.clone());
        let load = async move || {
            clock.advance(cost);
            Ok::<_, Infallible>(Fill::new(loads.fetch_add(1, Ordering::SeqCst) + 1))
        };
        let read = self.cache.fetch(&key(1), load).await.unwrap();
        let_others_run().await;
        read
    }

    async fn read(&self) -> (u32, Source) {
        let read = self.read_at_cost(Duration::ZERO).await;
        (*read.value, read.source)
    }

    fn advance(&self, by: u64) {
        self.clock.advance(seconds(by));
    }
}
