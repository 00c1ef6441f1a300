//! Batches over L1: one loader call for missing keys, shared with callers that come meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_cache::{Fill, Key, LoadError, ManualClock, Read, Tag, TieredCache, TtlClass, TypedCache};
use tokio::sync::{Notify, Semaphore};

mod failing;
mod joining;
mod loading;
mod waiting;

const CLASS: TtlClass = TtlClass::new("things", Duration::from_secs(60)).grace(Duration::from_secs(600));

fn key(index: u32) -> Key {
    Key::builder("thing").part(index).build().unwrap()
}

fn keys(indexes: impl IntoIterator<Item = u32>) -> Vec<Key> {
    indexes.into_iter().map(key).collect()
}

fn number_of(key: &Key) -> u32 {
    key.as_str().rsplit(':').next().unwrap().parse().unwrap()
}

fn things() -> (TypedCache<u32>, ManualClock) {
    let clock = ManualClock::new();
    (TieredCache::builder().clock(clock.clone()).build().typed(CLASS), clock)
}

/// Answers every key with ten times its number, below 100, and remembers the requested keys.
#[derive(Clone, Default)]
struct Store {
    asked: Arc<Mutex<Vec<Vec<u32>>>>,
    started: Arc<Notify>,
    /// Gate that loads wait for, if there is one.
    gate: Option<Arc<Semaphore>>,
}

impl Store {
    fn gated() -> Self {
        Self { gate: Some(Arc::new(Semaphore::new(0))), ..Self::default() }
    }

    fn open(&self) {
        self.gate.as_ref().unwrap().add_permits(1000);
    }

    async fn load(self, keys: Vec<Key>) -> Result<Vec<(Key, Fill<u32>)>, Infallible> {
        self.asked.lock().unwrap().push(keys.iter().map(number_of).collect());
        self.started.notify_one();
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let found = keys.into_iter().filter(|key| number_of(key) < 100);
        Ok(found.map(|key| (key.clone(), Fill::new(number_of(&key) * 10).tag(Tag::new("all")))).collect())
    }

    async fn read(&self, things: &TypedCache<u32>, keys: &[Key]) -> Vec<Option<u32>> {
        let store = self.clone();
        values(things.fetch_many(keys, |keys| store.load(keys)).await)
    }

    fn asked(&self) -> Vec<Vec<u32>> {
        self.asked.lock().unwrap().clone()
    }
}

fn values<E: std::fmt::Debug>(reads: Vec<Result<Option<Read<u32>>, LoadError<E>>>) -> Vec<Option<u32>> {
    reads.into_iter().map(|read| read.unwrap().map(|read| *read.value)).collect()
}
