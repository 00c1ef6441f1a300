//! A map from keys to entries with a maximum number of entries.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use compact_str::CompactString;
use hashbrown::HashTable;

use crate::CheckError;
use crate::key::ensure_short;
use crate::stats::LimiterStats;

/// Priority of an entry during eviction. The lowest is evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The entry can be removed without loss.
    Expired,
    /// The entry still counts. Ordered by strikes, then by the charged amount.
    Live(u32, u64),
    /// The entry must be kept.
    Pinned,
}

/// Shards, each with a mutex and its share of the cap. The hash function has a random key, so
/// clients cannot choose keys that fall into one shard.
///
/// Each shard has a copy of the rule for its entries, so that reading the rule costs only the lock.
pub(crate) struct Store<E, R = ()> {
    shards: Shards<E, R>,
    hasher: RandomState,
}

type Shards<E, R> = Box<[Padded<Mutex<Shard<E, R>>>]>;

/// Prevents false sharing between threads that use neighbouring shards.
#[repr(align(128))]
struct Padded<T>(T);

struct Shard<E, R> {
    rule: R,
    entries: HashTable<Slot<E>>,
    cap: usize,
    counts: Counts,
}

/// An entry and its key. A short key is stored inline, without a further memory access.
struct Slot<E> {
    key: CompactString,
    entry: E,
}

/// A key's position in the store, with its shard locked. The key is hashed once.
pub(crate) struct Place<'a, E, R = ()> {
    shard: MutexGuard<'a, Shard<E, R>>,
    hasher: &'a RandomState,
    key: &'a str,
    hash: u64,
}

/// Counters of decisions. Protected by the shard's lock, so they are always consistent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    allowed: u64,
    denied: u64,
    failed: u64,
    evicted_live: u64,
}

/// Minimum capacity of a shard. A smaller shard would compare too few entries during eviction.
const SHARD_PLACES: usize = 1_024;
const MAX_SHARDS: usize = 64;
/// A full shard frees this fraction of its capacity at once, so that many new keys share the cost
/// of the search, which reads the whole shard. During a flood of new keys, this search dominates
/// the cost of a new key.
const FREED_FRACTION: usize = 16;

impl<E> Store<E> {
    /// Creates a store for at most `max_keys` entries; zero counts as one.
    pub(crate) fn new(max_keys: usize) -> Self {
        Self::with_rule(max_keys, &())
    }
}

impl<E, R: Clone> Store<E, R> {
    pub(crate) fn with_rule(max_keys: usize, rule: &R) -> Self {
        let max_keys = max_keys.max(1);
        let count = (max_keys / SHARD_PLACES).clamp(1, MAX_SHARDS);
        let shards = (0..count)
            .map(|index| {
                let cap = max_keys / count + usize::from(index < max_keys % count);
                Padded(Mutex::new(Shard {
                    rule: rule.clone(),
                    entries: HashTable::new(),
                    cap,
                    counts: Counts::default(),
                }))
            })
            .collect();
        Self { shards, hasher: RandomState::new() }
    }

    /// Replaces the rule, one shard at a time. Calls `carry` for each entry with the previous rule,
    /// the entry, and the value that `begin` returned once the shard was locked.
    pub(crate) fn change<T: Copy>(&self, rule: &R, begin: impl Fn() -> T, carry: impl Fn(&R, &mut E, T)) {
        for shard in &self.shards {
            let mut shard = locked(&shard.0);
            let begun = begin();
            let before = std::mem::replace(&mut shard.rule, rule.clone());
            for slot in &mut shard.entries {
                carry(&before, &mut slot.entry, begun);
            }
        }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn keys(&self) -> Vec<CompactString> {
        let of_shard = |shard: &Padded<Mutex<Shard<E, R>>>| -> Vec<CompactString> {
            locked(&shard.0).entries.iter().map(|slot| slot.key.clone()).collect()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// Locks the key's shard and returns the key's position.
    #[inline]
    pub(crate) fn lock<'a>(&'a self, key: &'a str) -> Place<'a, E, R> {
        let hash = self.hasher.hash_one(key);
        Place { shard: locked(self.shard(hash)), hasher: &self.hasher, key, hash }
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<Shard<E, R>> {
        // Uses bits that the table does not. Cheaper than a remainder and as uniform.
        let bits = (hash >> 25) & u64::from(u32::MAX);
        let index = usize::try_from((bits * self.shards.len() as u64) >> 32).unwrap_or(0);
        &self.shards[index].0
    }

    #[cfg(test)]
    pub(crate) fn is_locked(&self, key: &str) -> bool {
        self.shard(self.hasher.hash_one(key)).try_lock().is_err()
    }

    /// Calls `look` for each entry, one shard at a time.
    pub(crate) fn visit(&self, mut look: impl FnMut(&str, &E)) {
        for shard in &self.shards {
            for Slot { key, entry } in &locked(&shard.0).entries {
                look(key, entry);
            }
        }
    }

    /// Sums the counters. `look` returns how often a key was refused, and whether it is blocked.
    pub(crate) fn stats(&self, look: impl Fn(&E) -> (u64, bool)) -> LimiterStats {
        let mut stats = LimiterStats::default();
        for shard in &self.shards {
            let shard = locked(&shard.0);
            stats.allowed += shard.counts.allowed;
            stats.denied += shard.counts.denied;
            stats.failed += shard.counts.failed;
            stats.evicted_live += shard.counts.evicted_live;
            stats.tracked_keys += shard.entries.len() as u64;
            for Slot { key, entry } in &shard.entries {
                let (denied, blocked) = look(entry);
                stats.blocked_keys += u64::from(blocked);
                stats.rank_denied(key, denied);
            }
        }
        stats
    }
}

/// Our own code never leaves an entry in an inconsistent state. If another crate's algorithm
/// panics, the state of that key may be inconsistent, but the other keys must remain usable.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E> Place<'_, E> {
    /// Calls `work` with the key's entry. Creates the entry if there is none, after evicting others
    /// if the shard is full.
    pub(crate) fn with<T>(
        &mut self,
        standing: impl Fn(&E) -> Standing,
        create: impl FnOnce() -> E,
        work: impl FnOnce(&mut E) -> T,
    ) -> Result<T, CheckError> {
        self.with_rule(|(), entry| standing(entry), |()| create(), |(), entry| Ok(work(entry)))
    }
}

impl<E, R> Place<'_, E, R> {
    pub(crate) fn rule(&self) -> &R {
        &self.shard.rule
    }

    pub(crate) fn get(&self) -> Option<&E> {
        self.shard.entries.find(self.hash, |slot| slot.key == self.key).map(|slot| &slot.entry)
    }

    pub(crate) fn get_mut(&mut self) -> Option<(&R, &mut E)> {
        let Shard { rule, entries, .. } = &mut *self.shard;
        entries.find_mut(self.hash, |slot| slot.key == self.key).map(|slot| (&*rule, &mut slot.entry))
    }

    pub(crate) fn remove(&mut self) -> bool {
        let found = self.shard.entries.find_entry(self.hash, |slot| slot.key == self.key);
        found.map(|found| drop(found.remove())).is_ok()
    }

    #[inline]
    pub(crate) fn count<T>(&mut self, result: &Result<T, CheckError>, allowed: impl FnOnce(&T) -> bool) {
        let counts = &mut self.shard.counts;
        match result {
            Ok(decided) if allowed(decided) => counts.allowed += 1,
            Ok(_) => counts.denied += 1,
            Err(_) => counts.failed += 1,
        }
    }

    /// Calls `work` with the key's entry. Creates the entry if there is none, after evicting others
    /// if the shard is full.
    #[inline]
    pub(crate) fn with_rule<T>(
        &mut self,
        standing: impl Fn(&R, &E) -> Standing,
        create: impl FnOnce(&R) -> E,
        work: impl FnOnce(&R, &mut E) -> Result<T, CheckError>,
    ) -> Result<T, CheckError> {
        match self.get_mut() {
            Some((rule, entry)) => work(rule, entry),
            None => self.with_new(standing, create, work),
        }
    }

    /// A separate function, so that the path of known keys stays short.
    #[cold]
    fn with_new<T>(
        &mut self,
        standing: impl Fn(&R, &E) -> Standing,
        create: impl FnOnce(&R) -> E,
        work: impl FnOnce(&R, &mut E) -> Result<T, CheckError>,
    ) -> Result<T, CheckError> {
        ensure_short(self.key)?;
        if self.shard.entries.len() >= self.shard.cap {
            self.shard.make_room(self.hasher, standing)?;
        }
        let Shard { rule, entries, .. } = &mut *self.shard;
        let slot = Slot { key: self.key.into(), entry: create(rule) };
        let mut new = entries.insert_unique(self.hash, slot, |slot| self.hasher.hash_one(slot.key.as_str()));
        work(rule, &mut new.get_mut().entry)
    }
}

impl<E, R> Shard<E, R> {
    /// Removes at least one entry: all expired ones, then the least charged, never a pinned one.
    fn make_room(&mut self, hasher: &RandomState, standing: impl Fn(&R, &E) -> Standing) -> Result<(), CheckError> {
        let Self { rule, entries, cap, counts } = self;
        let standing = |entry: &E| standing(rule, entry);
        let before = entries.len();
        entries.retain(|slot| standing(&slot.entry) != Standing::Expired);
        let wanted = (*cap / FREED_FRACTION).max(1).saturating_sub(before - entries.len());
        let ranks = entries.iter().map(|slot| standing(&slot.entry));
        let mut live: Vec<_> = ranks.filter(|rank| *rank < Standing::Pinned).collect();
        let evict = wanted.min(live.len());
        if evict > 0 {
            let (below, threshold, _) = live.select_nth_unstable(evict - 1);
            let threshold = *threshold;
            let mut ties = evict - below.iter().filter(|rank| **rank < threshold).count();
            entries.retain(|slot| {
                let rank = standing(&slot.entry);
                let goes = rank < threshold || (rank == threshold && ties > 0);
                ties -= usize::from(goes && rank == threshold);
                counts.evicted_live += u64::from(goes);
                !goes
            });
        }
        // Removed slots may still use space, which would make the table double its size.
        if entries.capacity() < *cap {
            let hash = |slot: &Slot<E>| hasher.hash_one(slot.key.as_str());
            let mut compact = HashTable::with_capacity(*cap);
            for slot in entries.drain() {
                compact.insert_unique(hash(&slot), slot, hash);
            }
            *entries = compact;
        }
        if entries.len() < *cap { Ok(()) } else { Err(CheckError::Full { max_keys: *cap }) }
    }
}
