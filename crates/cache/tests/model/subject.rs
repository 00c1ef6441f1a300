//! The cache under test.

use tidegate_cache::{LoadError, ManualClock, Read, Source, TieredCache, TypedCache};

use crate::operation::{CLASSES, Loaded};

pub(crate) struct Subject {
    pub(crate) cache: TieredCache,
    pub(crate) clock: ManualClock,
    runtime: tokio::runtime::Runtime,
    pub(crate) handles: Vec<TypedCache<u32>>,
}

impl Subject {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let cache = TieredCache::builder().clock(clock.clone()).build();
        let handles = CLASSES.iter().map(|class| cache.typed(*class)).collect();
        // Without timers: code without time-outs must not need them.
        Self { cache, clock, runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(), handles }
    }

    pub(crate) fn finish(
        &self,
        read: impl Future<Output = Result<Read<u32>, LoadError<u32>>>,
    ) -> Result<(u32, Source), u32> {
        self.settle(read).map(|read| (*read.value, read.source)).map_err(said)
    }

    pub(crate) fn finish_many(
        &self,
        reads: impl Future<Output = Vec<Result<Option<Read<u32>>, LoadError<u32>>>>,
    ) -> Vec<Loaded<(u32, Source)>> {
        let reads = self.settle(reads).into_iter();
        reads.map(|read| read.map(|read| read.map(|read| (*read.value, read.source))).map_err(said)).collect()
    }

    fn settle<T>(&self, read: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let read = read.await;
            // One thread: a refresh behind the answer ends when its task gets its turn.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            read
        })
    }
}

fn said(error: LoadError<u32>) -> u32 {
    match error {
        LoadError::Loader(error) => *error,
        other => panic!("{other}"),
    }
}
