//! A store that does what sinks must do, and fails on demand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_cache::{
    IncrementBatch, IncrementSink, Increments, Key, TieredCache, TtlClass, TypedCache, ValueSink, ValueWrite,
    WriteBehind, WriteBehindOptions,
};
use tokio::sync::Semaphore;

/// No test waits longer for anything.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Later than any test ends.
pub(crate) const NEVER: Duration = Duration::from_secs(3_600);

pub(crate) const CLASS: TtlClass = TtlClass::new("rows", Duration::from_secs(600));

pub(crate) fn key(index: usize) -> Key {
    Key::builder("row").part(index).build().unwrap()
}

pub(crate) fn options() -> WriteBehindOptions {
    WriteBehindOptions::new("test").every(NEVER).pauses(Duration::from_millis(10), Duration::from_millis(20))
}

pub(crate) fn cached() -> TypedCache<u64> {
    TieredCache::builder().build().typed(CLASS)
}

#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) rows: Arc<Mutex<HashMap<Key, (u64, u64)>>>,
    pub(crate) totals: Arc<Mutex<HashMap<Key, i64>>>,
    numbers: Arc<Mutex<HashMap<String, u64>>>,
    /// Sizes of the received batches, failed ones included.
    pub(crate) batches: Arc<Mutex<Vec<usize>>>,
    /// How many calls are to fail before anything was done.
    pub(crate) failing: Arc<AtomicUsize>,
    /// Whether calls fail after everything was done.
    pub(crate) forgetful: Arc<AtomicBool>,
    pub(crate) panics: Arc<AtomicBool>,
    pub(crate) hangs: Arc<AtomicBool>,
    /// Gate that the next call waits for before it does anything.
    pub(crate) gate: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the store is away")]
pub(crate) struct Away;

impl Store {
    pub(crate) fn row(&self, index: usize) -> Option<u64> {
        self.rows.lock().unwrap().get(&key(index)).map(|(value, _)| *value)
    }

    pub(crate) fn total(&self, index: usize) -> i64 {
        self.totals.lock().unwrap().get(&key(index)).copied().unwrap_or_default()
    }

    pub(crate) fn number(&self, stream: &str) -> u64 {
        self.numbers.lock().unwrap().get(stream).copied().unwrap_or_default()
    }

    /// Another store with the same content.
    #[cfg(feature = "json")]
    pub(crate) fn copy(&self) -> Self {
        let (rows, totals) = (self.rows.lock().unwrap().clone(), self.totals.lock().unwrap().clone());
        let numbers = self.numbers.lock().unwrap().clone();
        let (rows, totals) = (Arc::new(Mutex::new(rows)), Arc::new(Mutex::new(totals)));
        Self { rows, totals, numbers: Arc::new(Mutex::new(numbers)), ..Self::default() }
    }

    async fn begin(&self, size: usize) -> Result<(), Away> {
        self.batches.lock().unwrap().push(size);
        let gate = self.gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        assert!(!self.panics.swap(false, Ordering::SeqCst), "as the test demands");
        if self.hangs.swap(false, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let fails = self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Err(Away) } else { Ok(()) }
    }

    fn end(&self) -> Result<(), Away> {
        if self.forgetful.swap(false, Ordering::SeqCst) { Err(Away) } else { Ok(()) }
    }
}

impl ValueSink<u64> for Store {
    type Error = Away;

    async fn write(&self, writes: &[ValueWrite<u64>]) -> Result<(), Away> {
        self.begin(writes.len()).await?;
        let mut rows = self.rows.lock().unwrap();
        for write in writes {
            let row = rows.entry(write.key.clone()).or_default();
            if row.1 < write.version {
                *row = (write.value, write.version);
            }
        }
        self.end()
    }
}

impl IncrementSink for Store {
    type Error = Away;

    async fn add(&self, batch: &IncrementBatch) -> Result<(), Away> {
        self.begin(batch.increments.len()).await?;
        let mut numbers = self.numbers.lock().unwrap();
        let number = numbers.entry(batch.stream.clone()).or_default();
        if *number < batch.number {
            *number = batch.number;
            for increment in &batch.increments {
                *self.totals.lock().unwrap().entry(increment.key.clone()).or_default() += increment.by;
            }
        }
        self.end()
    }
}

/// Location of pending writes; on Redis, a server of the test's own.
pub(crate) enum Place {
    Memory,
    #[cfg(feature = "json")]
    Redis(Box<tidegate_testkit::redis::RedisServer>),
}

impl Place {
    pub(crate) async fn all() -> Vec<Self> {
        vec![
            Self::Memory,
            #[cfg(feature = "json")]
            Self::Redis(Box::new(tidegate_testkit::redis::RedisServer::start().await)),
        ]
    }

    pub(crate) async fn values(&self, store: &Store, options: WriteBehindOptions) -> WriteBehind<u64> {
        match self {
            Self::Memory => WriteBehind::in_memory(cached(), store.clone(), options),
            #[cfg(feature = "json")]
            Self::Redis(server) => {
                let client = crate::redis::durable(&server.url()).await;
                let codec = tidegate_cache::Json::new();
                let keyspace = crate::redis::keyspace();
                WriteBehind::on_redis(cached(), codec, store.clone(), &client, &keyspace, options).unwrap()
            }
        }
    }

    pub(crate) async fn increments(&self, store: &Store, options: WriteBehindOptions) -> Increments {
        match self {
            Self::Memory => Increments::in_memory(store.clone(), options),
            #[cfg(feature = "json")]
            Self::Redis(server) => {
                let client = crate::redis::durable(&server.url()).await;
                Increments::on_redis(store.clone(), &client, &crate::redis::keyspace(), options).unwrap()
            }
        }
    }
}
