//! The last invalidation of each tag, in memory that is bounded by the tags that entries carry.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use crate::generation::Generation;
use crate::tag::Tag;
use crate::text::Prehashed;

const SHARDS: usize = 16;

/// Cells for tags without a record. At worst, a collision keeps one fill from being stored.
const CELLS: usize = 4096;

/// Records per shard below which pruning is not worth a walk.
const PRUNE_FROM: usize = 256;

/// The last invalidation of one tag; entries point to it, so that a read compares without a search.
#[derive(Debug)]
pub(crate) struct TagRecord {
    latest: AtomicU64,
    tag: Tag,
}

/// The records of the tags of one entry.
#[derive(Debug, Clone)]
pub(crate) struct Records(SmallVec<[Arc<TagRecord>; 2]>);

impl Records {
    /// The tags themselves.
    pub(crate) fn tags(&self) -> Vec<Tag> {
        self.0.iter().map(|record| record.tag.clone()).collect()
    }

    /// Whether none of the tags was invalidated since.
    pub(crate) fn admit(&self, since: Generation) -> bool {
        self.0.iter().all(|tag| tag.latest.load(Ordering::Acquire) <= since.0)
    }
}

struct Shard {
    records: HashMap<Tag, Arc<TagRecord>, Prehashed>,
    prune_at: usize,
}

/// Records for tags that entries carry. For all other tags, an array of cells, indexed by hash,
/// that remembers when any of them was last invalidated. A new record starts from its cell, so an
/// invalidation that came before the record is not lost, and a load that was in progress then is
/// refused.
pub(crate) struct TagTable {
    shards: Box<[Mutex<Shard>]>,
    cells: Box<[AtomicU64]>,
}

impl TagTable {
    pub(crate) fn new() -> Self {
        let shard = || Mutex::new(Shard { records: HashMap::default(), prune_at: PRUNE_FROM });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Marks the tag with the number that `next` draws. The number is drawn under the lock, so that
    /// an entry stamped before sees the mark in its record, and one stamped after sees it in its
    /// cell.
    pub(crate) fn invalidate(&self, tag: &Tag, next: impl FnOnce() -> u64) {
        let shard = self.shard(tag);
        let cell = match shard.records.get(tag) {
            Some(record) => &record.latest,
            None => self.cell(tag),
        };
        cell.fetch_max(next(), Ordering::SeqCst);
    }

    pub(crate) fn records(&self, tags: &[Tag]) -> Records {
        Records(tags.iter().map(|tag| self.record(tag)).collect())
    }

    fn record(&self, tag: &Tag) -> Arc<TagRecord> {
        let mut shard = self.shard(tag);
        if let Some(record) = shard.records.get(tag) {
            return Arc::clone(record);
        }
        if shard.records.len() >= shard.prune_at {
            self.prune_shard(&mut shard);
        }
        let latest = AtomicU64::new(self.cell(tag).load(Ordering::SeqCst));
        let record = Arc::new(TagRecord { latest, tag: tag.clone() });
        shard.records.insert(tag.clone(), Arc::clone(&record));
        record
    }

    /// Drops the records that no entry holds. Their marks move to their cells.
    pub(crate) fn prune(&self) {
        for shard in &self.shards {
            self.prune_shard(&mut shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn prune_shard(&self, shard: &mut Shard) {
        shard.records.retain(|tag, record| {
            // Only this table hands out records, under this lock: a count of one cannot grow.
            let carried = Arc::strong_count(record) > 1;
            if !carried {
                self.cell(tag).fetch_max(record.latest.load(Ordering::SeqCst), Ordering::SeqCst);
            }
            carried
        });
        shard.prune_at = (shard.records.len() * 2).max(PRUNE_FROM);
    }

    fn cell(&self, tag: &Tag) -> &AtomicU64 {
        &self.cells[(tag.hash() >> 20) as usize % CELLS]
    }

    fn shard(&self, tag: &Tag) -> MutexGuard<'_, Shard> {
        let index = (tag.hash() >> 40) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().records.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_before_the_record_reaches_it() {
        let table = TagTable::new();
        table.invalidate(&Tag::new("t"), || 5);
        let records = table.records(&[Tag::new("t")]);
        assert!(!records.admit(Generation(4)));
        assert!(records.admit(Generation(5)));
    }

    #[test]
    fn a_pruned_record_leaves_its_mark() {
        let table = TagTable::new();
        drop(table.records(&[Tag::new("t")]));
        table.invalidate(&Tag::new("t"), || 9);
        table.prune();
        assert_eq!(table.count(), 0);
        assert!(!table.records(&[Tag::new("t")]).admit(Generation(8)));
    }

    #[test]
    fn tags_of_dead_entries_are_forgotten_without_a_sweep() {
        let table = TagTable::new();
        let kept = table.records(&[Tag::new("kept")]);
        for tag in 0..100_000 {
            drop(table.records(&[Tag::new(tag)]));
        }
        assert!(table.count() <= SHARDS * PRUNE_FROM);
        table.invalidate(&Tag::new("kept"), || 3);
        assert!(!kept.admit(Generation(2)));
    }

    #[test]
    fn invalidating_unused_tags_takes_no_memory() {
        let table = TagTable::new();
        for tag in 0..10_000 {
            table.invalidate(&Tag::new(tag), || 1);
        }
        assert_eq!(table.count(), 0);
    }
}
