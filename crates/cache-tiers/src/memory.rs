//! L1: values in memory, on `quick_cache` (a variant of Clock-PRO, close to S3-FIFO).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use crate::held::{ForAll, ForHit, Held, Hit, Noting, SameFill};
use crate::key::Key;
use crate::moves::Seen;
use crate::slot::{Slot, Terms};
use crate::text::Prehashed;

/// The tier's name in statistics and events.
pub(crate) const NAME: &str = "l1";

/// Bytes of an entry besides key text and value: the held structures, the index, the counts.
const OVERHEAD: u64 = (size_of::<Held>() + size_of::<Hit>() + size_of::<Terms>() + 80) as u64;

/// Smallest shard, so that a value of some size still finds room in one.
const SHARD_ENTRIES: u64 = 64;
const SHARD_BYTES: u64 = 4 << 20;

/// An estimate that sizes the index, which grows if entries are smaller.
const TYPICAL_ENTRY: u64 = 1024;

/// How much the cache may hold in this process. Never exceeded; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// This many entries, whatever their size.
    Entries(u64),
    /// Number of bytes, as `TypedCache::weigh` counts them. Each entry adds a fixed overhead, its
    /// key and 8 bytes per tag. The texts of tags are not counted, because entries share them. The
    /// capacity is divided into shards of 4 MiB or more, and one entry must fit into one shard.
    Bytes(u64),
}

#[derive(Clone)]
struct SlotWeight;

impl Weighter<Held, Hit> for SlotWeight {
    fn weight(&self, held: &Held, _: &Hit) -> u64 {
        held.terms.weight
    }
}

/// Hands out all removed values, so that no value is dropped under a lock.
#[derive(Clone)]
struct Leaving;

impl Lifecycle<Held, Hit> for Leaving {
    type RequestState = Vec<(Held, Hit)>;

    fn on_evict(&self, leaving: &mut Self::RequestState, held: Held, hit: Hit) {
        leaving.push((held, hit));
    }
}

/// Effects of an insertion.
#[derive(Default)]
pub struct Inserted {
    pub stored: bool,
    /// Whether nothing but its size kept it out.
    pub too_big: bool,
    /// Removed values, the replaced one included.
    leaving: Vec<(Held, Hit)>,
}

impl Inserted {
    /// Whether tiers behind L1 may hold the value: L1 holds it too, unless it is too large.
    pub fn is_current(&self) -> bool {
        self.stored || self.too_big
    }

    /// Whether `key` held another value, which is gone.
    pub(crate) fn has_replaced(&self, key: &Key) -> bool {
        (self.stored || self.too_big) && self.leaving.iter().any(|(left, _)| left.key == *key)
    }

    /// Returns the removed values, and whether each was replaced by another value of its own key.
    pub(crate) fn left<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (&'a Held, &'a Hit, bool)> {
        self.leaving.iter().map(move |(held, hit)| (held, hit, held.key == *key))
    }

    /// The keys that were evicted to make room for `key`.
    pub(crate) fn evicted<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Key> {
        self.leaving.iter().map(|(left, _)| &left.key).filter(move |left| *left != key)
    }
}

/// The tier.
pub struct Memory {
    cache: Cache<Held, Hit, SlotWeight, Prehashed, Leaving>,
    by_bytes: bool,
    shards: u64,
    evictions: AtomicU64,
}

impl Memory {
    pub(crate) fn new(capacity: Capacity) -> Self {
        let (room, smallest_shard, entries) = match capacity {
            Capacity::Entries(count) => (count.max(1), SHARD_ENTRIES, count.max(1)),
            Capacity::Bytes(bytes) => (bytes.max(1), SHARD_BYTES, (bytes / TYPICAL_ENTRY).max(1)),
        };
        let wanted = available_parallelism().map_or(8, |cores| cores.get() as u64 * 4).next_power_of_two();
        let mut shards = wanted;
        // quick_cache rounds up shard capacities and halves shards below 32 entries. Avoid both.
        while shards > 1 && (room / shards < smallest_shard || entries / shards < 32) {
            shards /= 2;
        }
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1))
            .estimated_items_capacity(usize::try_from(entries).unwrap_or(usize::MAX))
            .weight_capacity(room - room % shards)
            .build()
            .expect("both capacities are set");
        Self {
            cache: Cache::with_options(options, SlotWeight, Prehashed, Leaving),
            by_bytes: matches!(capacity, Capacity::Bytes(_)),
            shards,
            evictions: AtomicU64::new(0),
        }
    }

    /// Returns the weight of an entry, given the number of its tags and the bytes of its value.
    pub(crate) fn weight(&self, key: &Key, tags: usize, value_bytes: usize) -> u64 {
        if self.by_bytes {
            let around = OVERHEAD + key.as_str().len() as u64 + tags as u64 * size_of::<usize>() as u64;
            around.saturating_add(value_bytes as u64)
        } else {
            1
        }
    }

    /// Returns the data that a hit needs, and the count up to which no invalidation covers it.
    #[inline]
    pub(crate) fn get(&self, key: &Key) -> Option<(Hit, Seen)> {
        let question = ForHit::new(key);
        let hit = self.cache.get(&question)?;
        Some((hit, question.seen()))
    }

    /// Returns all that is held under the key, without making the entry look more used.
    pub fn peek(&self, key: &Key) -> Option<Slot> {
        let question = ForAll::new(key);
        let hit = self.cache.peek(&question)?;
        question.with(hit)
    }

    /// Notes up to which count no invalidation covers the slot, if it is still held.
    pub(crate) fn note(&self, key: &Key, slot: &Slot, seen: Seen) {
        self.cache.contains_key(&Noting { key, slot, seen });
    }

    /// Stores the slot. The caller holds the lock of the key's flights, so it alone writes.
    pub(crate) fn insert(&self, key: &Key, slot: &Slot) -> Inserted {
        let mut leaving = Vec::new();
        let mut stored = self.place(key, slot, &mut leaving);
        if !stored {
            // A value that outgrew its predecessor may be evicted at once. A new entry is not. If
            // it is refused again, it is too large, and its predecessor is removed, as it must be.
            leaving.extend(self.cache.remove(key));
            stored = self.place(key, slot, &mut leaving);
        }
        // A refused value was not removed, and a confirmed one is still held.
        leaving.retain(|(left, hit)| {
            let is_held = stored && left.key == *key && Arc::ptr_eq(&hit.value, &slot.value);
            !is_held && !Arc::ptr_eq(&left.terms, slot.terms())
        });
        let inserted = Inserted { stored, too_big: !stored, leaving };
        let evicted = inserted.evicted(key).count() as u64;
        if evicted > 0 {
            self.evictions.fetch_add(evicted, Ordering::Relaxed);
        }
        inserted
    }

    fn place(&self, key: &Key, slot: &Slot, leaving: &mut Vec<(Held, Hit)>) -> bool {
        let before = leaving.len();
        self.cache.insert_with_lifecycle(Held::new(key.clone(), slot), Hit::new(slot), leaving);
        !leaving[before..].iter().any(|(left, _)| Arc::ptr_eq(&left.terms, slot.terms()))
    }

    /// Prevents loads of this key before `until`. The caller holds the key's flight lock.
    pub fn postpone_refresh(&self, key: &Key, now: Duration, until: Duration) {
        self.amend(key, |terms| terms.times.postpone(now.into(), until.into()));
    }

    /// Changes an entry's terms. The caller holds the key's flight lock, so it alone writes.
    pub(crate) fn amend(&self, key: &Key, change: impl FnOnce(&mut Terms)) {
        if let Some(slot) = self.peek(key) {
            let mut terms = Terms::clone(slot.terms());
            change(&mut terms);
            let slot = Slot::new(slot.value, terms);
            // A soft replacement does not make the entry more popular. A missing entry is skipped.
            // The replaced one has the same value, so none is dropped.
            drop(self.cache.replace(Held::new(key.clone(), &slot), Hit::new(&slot), true));
        }
    }

    pub fn remove(&self, key: &Key) -> Option<Slot> {
        self.cache.remove(key).map(|(held, hit)| Slot::of(hit.value, held.terms))
    }

    /// Removes the entry if it still holds the value of `slot`.
    pub(crate) fn discard(&self, key: &Key, slot: &Slot) -> bool {
        self.cache.remove_if(&SameFill { key, slot }, |hit| Arc::ptr_eq(&hit.value, &slot.value)).is_some()
    }

    /// Copies of all entries, taking a shard's read lock for one entry at a time.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Slot)> {
        self.cache.iter().map(|(held, hit)| (held.key, Slot::of(hit.value, held.terms)))
    }

    pub fn entries(&self) -> u64 {
        self.cache.len() as u64
    }

    pub(crate) fn weight_held(&self) -> u64 {
        self.cache.weight()
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.cache.capacity()
    }

    /// Sets the maximum weight. Entries that exceed it are removed at once.
    pub fn set_capacity(&self, room: u64) {
        let room = room.max(self.shards);
        let before = self.entries();
        self.cache.set_capacity(room - room % self.shards);
        // Concurrent changes make this imprecise; it is a count for operators.
        self.evictions.fetch_add(before.saturating_sub(self.entries()), Ordering::Relaxed);
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}
