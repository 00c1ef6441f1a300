//! Pending writes in the memory of this process.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_clock::Clock;

use super::error::{FlushError, WriteBehindError};
use super::options::Room;
use super::pending::{Oldest, PendingIncrement, PendingIncrements, PendingValues, Taken, TakenBatch};
use super::sink::{Increment, IncrementBatch, ValueWrite};
use tidegate_cache_tiers::Key;

/// Numbers that grow, also beyond those of processes that have ended: microseconds since 1970.
#[derive(Default)]
struct Numbers {
    last: u64,
    clock: Clock,
}

impl Numbers {
    fn next(&mut self) -> u64 {
        self.last = (self.last + 1).max(self.unix_micros());
        self.last
    }

    fn unix_micros(&self) -> u64 {
        u64::try_from(self.clock.unix().as_micros()).unwrap_or(u64::MAX)
    }
}

struct Waiting<V> {
    value: V,
    version: u64,
    /// Version of the first pending write of the key.
    since: u64,
    bytes: usize,
}

struct Values<V> {
    by_key: HashMap<Key, Waiting<V>>,
    by_age: BTreeMap<u64, Key>,
    numbers: Numbers,
    bytes: usize,
}

/// Values in memory.
pub(super) struct MemoryValues<V> {
    values: Mutex<Values<V>>,
    room: Room,
    weigh: fn(&V) -> usize,
}

impl<V> MemoryValues<V> {
    pub(super) fn new(room: Room, weigh: fn(&V) -> usize) -> Self {
        let values = Values { by_key: HashMap::new(), by_age: BTreeMap::new(), numbers: Numbers::default(), bytes: 0 };
        Self { values: Mutex::new(values), room, weigh }
    }

    fn lock(&self) -> MutexGuard<'_, Values<V>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<V: Clone + Send + Sync + 'static> PendingValues<V> for MemoryValues<V> {
    async fn put(&self, key: &Key, value: V) -> Result<Taken, WriteBehindError> {
        // User code runs under no lock.
        let bytes = (self.weigh)(&value);
        let mut values = self.lock();
        let Values { by_key, by_age, numbers, bytes: all } = &mut *values;
        let waiting = by_key.len();
        let before = by_key.get(key).map(|known| known.bytes);
        if before.is_none() && waiting >= self.room.keys {
            return Err(WriteBehindError::Full { waiting: waiting as u64, limit: self.room.keys });
        }
        let after = (*all - before.unwrap_or(0)).saturating_add(bytes);
        if bytes > before.unwrap_or(0) && after > self.room.bytes {
            return Err(WriteBehindError::TooManyBytes { waiting: *all as u64, limit: self.room.bytes });
        }
        *all = after;
        let version = match by_key.entry(key.clone()) {
            Entry::Occupied(mut known) => {
                let version = numbers.next();
                let since = known.get().since;
                known.insert(Waiting { value, version, since, bytes });
                version
            }
            Entry::Vacant(place) => {
                let version = numbers.next();
                place.insert(Waiting { value, version, since: version, bytes });
                by_age.insert(version, key.clone());
                version
            }
        };
        Ok(Taken { version, waiting: by_key.len() as u64 })
    }

    async fn get(&self, key: &Key) -> Result<Option<V>, WriteBehindError> {
        Ok(self.lock().by_key.get(key).map(|waiting| waiting.value.clone()))
    }

    async fn oldest(&self, count: usize) -> Result<Oldest<V>, WriteBehindError> {
        let values = self.lock();
        let write = |key: &Key| {
            let waiting = values.by_key.get(key)?;
            Some(ValueWrite { key: key.clone(), value: waiting.value.clone(), version: waiting.version })
        };
        let writes: Vec<_> = values.by_age.values().take(count).filter_map(write).collect();
        let more = writes.len() == count;
        Ok(Oldest { writes, more, unreadable: None })
    }

    async fn settle(&self, written: &[ValueWrite<V>]) -> Result<(), WriteBehindError> {
        let mut values = self.lock();
        for write in written {
            if let Some(waiting) = values.by_key.get(&write.key)
                && waiting.version == write.version
            {
                let (since, bytes) = (waiting.since, waiting.bytes);
                values.bytes -= bytes;
                values.by_key.remove(&write.key);
                values.by_age.remove(&since);
            }
        }
        Ok(())
    }

    async fn waiting(&self) -> Result<u64, WriteBehindError> {
        Ok(self.lock().by_key.len() as u64)
    }

    fn outlives_the_process(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Sums {
    by_key: HashMap<Key, (i64, u64)>,
    by_age: BTreeMap<u64, Key>,
    batch: Option<IncrementBatch>,
    numbers: Numbers,
}

/// Increments in memory.
pub(super) struct MemoryIncrements {
    sums: Mutex<Sums>,
    stream: String,
    limit: usize,
}

impl MemoryIncrements {
    pub(super) fn new(name: &str, limit: usize) -> Self {
        // Numbers of two processes cannot be compared, so each has a stream of its own.
        let process = RandomState::new().hash_one(Numbers::default().unix_micros());
        Self { sums: Mutex::default(), stream: format!("{name}:{process:016x}"), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PendingIncrements for MemoryIncrements {
    async fn add(&self, key: &Key, by: i64) -> Result<u64, WriteBehindError> {
        let mut sums = self.lock();
        let Sums { by_key, by_age, numbers, .. } = &mut *sums;
        let waiting = by_key.len();
        match by_key.entry(key.clone()) {
            Entry::Occupied(mut known) => {
                let sum = &mut known.get_mut().0;
                *sum = sum.checked_add(by).ok_or_else(|| WriteBehindError::Overflow { key: key.clone() })?;
            }
            Entry::Vacant(_) if waiting >= self.limit => {
                return Err(WriteBehindError::Full { waiting: waiting as u64, limit: self.limit });
            }
            Entry::Vacant(place) => {
                let since = numbers.next();
                place.insert((by, since));
                by_age.insert(since, key.clone());
            }
        }
        Ok(by_key.len() as u64)
    }

    async fn get(&self, key: &Key) -> Result<PendingIncrement, WriteBehindError> {
        let sums = self.lock();
        let waiting = sums.by_key.get(key).map_or(0, |(sum, _)| *sum);
        let under_way = sums.batch.as_ref().and_then(|batch| {
            let found = batch.increments.iter().find(|increment| increment.key == *key)?;
            Some((batch.number, found.by))
        });
        Ok(PendingIncrement { waiting, under_way })
    }

    async fn take(&self, count: usize) -> Result<Option<TakenBatch>, FlushError> {
        let mut sums = self.lock();
        let Sums { by_key, by_age, batch, numbers } = &mut *sums;
        let mut full = true;
        if batch.is_none() && !by_age.is_empty() {
            let mut increments = Vec::new();
            while increments.len() < count
                && let Some((_, key)) = by_age.pop_first()
            {
                if let Some((by, _)) = by_key.remove(&key) {
                    increments.push(Increment { key, by });
                }
            }
            full = increments.len() == count;
            *batch = Some(IncrementBatch { stream: self.stream.clone(), number: numbers.next(), increments });
        }
        let more = full && !by_key.is_empty();
        Ok(batch.clone().map(|batch| TakenBatch { batch, more, unreadable: None }))
    }

    async fn settle(&self, taken: &TakenBatch) -> Result<(), WriteBehindError> {
        let mut sums = self.lock();
        sums.batch.take_if(|batch| batch.number == taken.batch.number);
        Ok(())
    }

    async fn waiting(&self) -> Result<u64, WriteBehindError> {
        let sums = self.lock();
        Ok((sums.by_key.len() + sums.batch.as_ref().map_or(0, |batch| batch.increments.len())) as u64)
    }
}
