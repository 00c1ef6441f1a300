//! Shapes in the memory of this process.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hyperloglockless::HyperLogLog;
use quick_cache::sync::Cache;

use super::error::ShapeError;
use super::sorted::{Around, Position, SortedMembers, SortedRead, SortedWrite};
use super::store::{Kind, Life, ShapeStore};
use tidegate_cache_tiers::{Key, TtlClass};
use tidegate_clock::Clock;

/// Distinct members that are counted exactly, before a sketch is used.
const EXACT: usize = 256;

/// Minimum number of new keys between two searches for expired ones.
const SWEPT_AFTER: usize = 64;

/// 2^14 registers, as in Redis.
const PRECISION: u8 = 14;

enum Data {
    Nothing,
    Hash(HashMap<String, Vec<u8>>),
    Counter(i64),
    Set(HashSet<String>),
    Bits(Vec<u8>),
    /// Hashes of the members.
    Few(HashSet<u64>),
    Many(Box<HyperLogLog>),
    Sorted(SortedMembers),
}

struct Cell {
    until: Duration,
    data: Data,
    /// Its key no longer holds it, or soon will not. A caller that found it searches again.
    is_gone: bool,
}

type Place = (Kind, Key);

type Shared = Arc<Mutex<Cell>>;

fn lock(cell: &Shared) -> MutexGuard<'_, Cell> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shapes of one [`Shapes`](crate::Shapes).
pub(super) struct MemoryShapes {
    cells: Cache<Place, Shared>,
    clock: Clock,
    hasher: RandomState,
    /// New keys until the next sweep.
    unswept: AtomicUsize,
}

impl MemoryShapes {
    pub(super) fn new(keys: usize, clock: Clock) -> Self {
        let unswept = AtomicUsize::new(SWEPT_AFTER);
        Self { cells: Cache::new(keys.max(1)), clock, hasher: RandomState::new(), unswept }
    }

    /// Changes a key, empty if new or expired. A failed change must not have changed it.
    fn change<T>(
        &self,
        kind: Kind,
        key: &Key,
        life: Life,
        change: impl FnOnce(&mut Data) -> Result<T, ShapeError>,
    ) -> Result<T, ShapeError> {
        let place = (kind, key.clone());
        loop {
            let cell = self.cell(&place)?;
            let mut locked = lock(&cell);
            if locked.is_gone {
                drop(locked);
                self.remove(&place, &cell);
                continue;
            }
            let now = self.clock.coarse();
            let is_new = now >= locked.until;
            if is_new {
                locked.data = Data::Nothing;
            }
            let done = change(&mut locked.data)?;
            if is_new || life.renews {
                locked.until = now.saturating_add(life.ttl);
            }
            return Ok(done);
        }
    }

    /// Returns the cell of a key, a new one if there was none.
    fn cell(&self, place: &Place) -> Result<Shared, ShapeError> {
        let mut is_new = false;
        let cell = self.cells.get_or_insert_with(place, || {
            is_new = true;
            let cell = Cell { until: Duration::ZERO, data: Data::Nothing, is_gone: false };
            Ok::<_, ShapeError>(Arc::new(Mutex::new(cell)))
        })?;
        let is_due = is_new
            && self.unswept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) == Ok(1);
        if is_due {
            self.sweep();
        }
        Ok(cell)
    }

    /// Removes expired keys, after as many new ones: a new key pays for two old ones at most.
    fn sweep(&self) {
        let now = self.clock.coarse();
        self.cells.retain(|_, cell| {
            // A locked cell is in use.
            let Ok(mut locked) = cell.try_lock() else { return true };
            locked.is_gone = now >= locked.until;
            !locked.is_gone
        });
        self.unswept.store(self.cells.len().max(SWEPT_AFTER), Ordering::Relaxed);
    }

    fn remove(&self, place: &Place, gone: &Shared) {
        self.cells.remove_if(place, |cell| Arc::ptr_eq(cell, gone));
    }

    /// Reads a live key.
    fn look<T>(&self, kind: Kind, key: &Key, look: impl FnOnce(&mut Cell) -> T) -> Option<T> {
        let cell = self.cells.get(&(kind, key.clone()))?;
        let mut cell = lock(&cell);
        (!cell.is_gone && self.clock.coarse() < cell.until).then(|| look(&mut cell))
    }

    fn look_sorted<T>(&self, kind: Kind, key: &Key, look: impl FnOnce(&SortedMembers) -> T) -> Option<T> {
        let found = self.look(kind, key, |cell| match &cell.data {
            Data::Sorted(members) => Some(look(members)),
            _ => None,
        });
        found.flatten()
    }

    /// Removes one item from a live key. The key is removed if it is empty.
    fn take(&self, kind: Kind, key: &Key, take: impl FnOnce(&mut Data) -> (bool, bool)) -> bool {
        let taken = self.look(kind, key, |cell| {
            let (was_there, is_empty) = take(&mut cell.data);
            if is_empty {
                cell.until = Duration::ZERO;
            }
            was_there
        });
        taken.unwrap_or_default()
    }
}

/// Returns the data as one kind. A cell cannot have another kind; if it did, it would start anew.
macro_rules! as_kind {
    ($data:expr, $kind:path, $new:expr) => {{
        if !matches!($data, $kind(_)) {
            *$data = $kind($new);
        }
        match $data {
            $kind(inner) => inner,
            _ => unreachable!("made so above"),
        }
    }};
}

#[async_trait]
impl ShapeStore for MemoryShapes {
    fn lifetime(&self, class: &TtlClass) -> Duration {
        class.in_l1(None)
    }

    async fn hash_set(
        &self,
        key: &Key,
        field: &str,
        value: Vec<u8>,
        life: Life,
        limit: usize,
    ) -> Result<bool, ShapeError> {
        self.change(Kind::Hash, key, life, |data| {
            let fields = as_kind!(data, Data::Hash, HashMap::new());
            if fields.len() >= limit && !fields.contains_key(field) {
                return Err(ShapeError::Full { limit });
            }
            Ok(fields.insert(field.to_owned(), value).is_none())
        })
    }

    async fn hash_get(&self, key: &Key, field: &str) -> Result<Option<Vec<u8>>, ShapeError> {
        let found = self.look(Kind::Hash, key, |cell| match &cell.data {
            Data::Hash(fields) => fields.get(field).cloned(),
            _ => None,
        });
        Ok(found.flatten())
    }

    async fn hash_all(&self, key: &Key) -> Result<Vec<(String, Vec<u8>)>, ShapeError> {
        let all = self.look(Kind::Hash, key, |cell| match &cell.data {
            Data::Hash(fields) => fields.iter().map(|(field, value)| (field.clone(), value.clone())).collect(),
            _ => Vec::new(),
        });
        Ok(all.unwrap_or_default())
    }

    async fn hash_remove(&self, key: &Key, field: &str) -> Result<bool, ShapeError> {
        Ok(self.take(Kind::Hash, key, |data| match data {
            Data::Hash(fields) => (fields.remove(field).is_some(), fields.is_empty()),
            _ => (false, true),
        }))
    }

    async fn counter_add(&self, key: &Key, by: i64, life: Life) -> Result<i64, ShapeError> {
        self.change(Kind::Counter, key, life, |data| {
            let number = as_kind!(data, Data::Counter, 0);
            *number = number.checked_add(by).ok_or(ShapeError::Overflow)?;
            Ok(*number)
        })
    }

    async fn counter_get(&self, key: &Key) -> Result<Option<i64>, ShapeError> {
        let number = self.look(Kind::Counter, key, |cell| match cell.data {
            Data::Counter(number) => Some(number),
            _ => None,
        });
        Ok(number.flatten())
    }

    async fn set_add(&self, key: &Key, member: &str, life: Life, limit: usize) -> Result<bool, ShapeError> {
        self.change(Kind::Set, key, life, |data| {
            let members = as_kind!(data, Data::Set, HashSet::new());
            if members.len() >= limit && !members.contains(member) {
                return Err(ShapeError::Full { limit });
            }
            Ok(members.insert(member.to_owned()))
        })
    }

    async fn set_has(&self, key: &Key, member: &str) -> Result<bool, ShapeError> {
        let has = |cell: &mut Cell| matches!(&cell.data, Data::Set(members) if members.contains(member));
        Ok(self.look(Kind::Set, key, has).unwrap_or_default())
    }

    async fn set_all(&self, key: &Key) -> Result<Vec<String>, ShapeError> {
        let all = self.look(Kind::Set, key, |cell| match &cell.data {
            Data::Set(members) => members.iter().cloned().collect(),
            _ => Vec::new(),
        });
        Ok(all.unwrap_or_default())
    }

    async fn set_remove(&self, key: &Key, member: &str) -> Result<bool, ShapeError> {
        Ok(self.take(Kind::Set, key, |data| match data {
            Data::Set(members) => (members.remove(member), members.is_empty()),
            _ => (false, true),
        }))
    }

    async fn bit_set(&self, key: &Key, bit: u32, value: bool, life: Life) -> Result<bool, ShapeError> {
        self.change(Kind::Bitmap, key, life, |data| {
            let bytes = as_kind!(data, Data::Bits, Vec::new());
            let (at, mask) = place_of(bit);
            if bytes.len() <= at {
                bytes.resize(at + 1, 0);
            }
            let before = bytes[at] & mask != 0;
            bytes[at] = if value { bytes[at] | mask } else { bytes[at] & !mask };
            Ok(before)
        })
    }

    async fn bit_get(&self, key: &Key, bit: u32) -> Result<bool, ShapeError> {
        let (at, mask) = place_of(bit);
        let is_set = |cell: &mut Cell| match &cell.data {
            Data::Bits(bytes) => bytes.get(at).is_some_and(|byte| byte & mask != 0),
            _ => false,
        };
        Ok(self.look(Kind::Bitmap, key, is_set).unwrap_or_default())
    }

    async fn unique_add(&self, key: &Key, member: &str, life: Life) -> Result<(), ShapeError> {
        let hash = self.hasher.hash_one(member);
        self.change(Kind::Unique, key, life, |data| {
            if let Data::Many(sketch) = data {
                sketch.insert_hash(hash);
                return Ok(());
            }
            let few = as_kind!(data, Data::Few, HashSet::new());
            few.insert(hash);
            if few.len() > EXACT {
                let mut sketch = Box::new(HyperLogLog::new(PRECISION));
                few.iter().for_each(|hash| sketch.insert_hash(*hash));
                *data = Data::Many(sketch);
            }
            Ok(())
        })
    }

    async fn sorted_write(
        &self,
        kind: Kind,
        keys: &[&Key],
        step: SortedWrite<'_>,
        life: Life,
        limit: usize,
    ) -> Vec<Result<i64, ShapeError>> {
        let write = |key: &&Key| {
            if !matches!(step, SortedWrite::Remove(_)) {
                return self.change(kind, key, life, |data| {
                    as_kind!(data, Data::Sorted, SortedMembers::default()).write(step, limit)
                });
            }
            let mut removed = Ok(0);
            self.take(kind, key, |data| match data {
                Data::Sorted(members) => {
                    removed = members.write(step, limit);
                    (true, members.len() == 0)
                }
                _ => (false, true),
            });
            removed
        };
        keys.iter().map(write).collect()
    }

    async fn sorted_read(
        &self,
        kind: Kind,
        key: &Key,
        read: SortedRead,
    ) -> Result<Vec<(Position, String)>, ShapeError> {
        Ok(self.look_sorted(kind, key, |members| members.read(&read)).unwrap_or_default())
    }

    async fn sorted_around(
        &self,
        kind: Kind,
        key: &Key,
        member: &str,
        each_side: u32,
    ) -> Result<Option<Around>, ShapeError> {
        Ok(self.look_sorted(kind, key, |members| members.around(member, each_side)).flatten())
    }

    async fn count(&self, kind: Kind, key: &Key) -> Result<u64, ShapeError> {
        let count = self.look(kind, key, |cell| match &cell.data {
            Data::Nothing | Data::Counter(_) => 0,
            Data::Hash(fields) => fields.len() as u64,
            Data::Set(members) => members.len() as u64,
            Data::Bits(bytes) => bytes.iter().map(|byte| u64::from(byte.count_ones())).sum(),
            Data::Few(members) => members.len() as u64,
            Data::Many(sketch) => sketch.count() as u64,
            Data::Sorted(members) => members.len() as u64,
        });
        Ok(count.unwrap_or_default())
    }

    async fn ttl(&self, kind: Kind, key: &Key) -> Result<Option<Duration>, ShapeError> {
        let now = self.clock.coarse();
        Ok(self.look(kind, key, |cell| cell.until.saturating_sub(now)))
    }

    async fn delete(&self, kind: Kind, key: &Key) -> Result<bool, ShapeError> {
        let place = (kind, key.clone());
        let Some(cell) = self.cells.get(&place) else { return Ok(false) };
        let was_live = {
            let mut cell = lock(&cell);
            // Later writes go to a cell of their own.
            !std::mem::replace(&mut cell.is_gone, true) && self.clock.coarse() < cell.until
        };
        self.remove(&place, &cell);
        Ok(was_live)
    }
}

/// Returns byte and mask of a bit, the highest bit of a byte first, as in Redis.
fn place_of(bit: u32) -> (usize, u8) {
    (bit as usize / 8, 0x80 >> (bit % 8))
}

#[cfg(test)]
mod tests;
