//! The cache itself: the only place that knows the tiers and their order.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::builder::TieredCacheBuilder;
use crate::class::{Class, ClassTable, Count};
use crate::clock::Clock;
use crate::event::{Event, LookupOutcome, Observer, Scope};
use crate::fence::{Fence, Generation};
use crate::flight::FlightTable;
use crate::key::Key;
use crate::memory::{self, Inserted, Memory};
use crate::pattern::Pattern;
use crate::slot::{Anything, Slot, State};
use crate::stats::{CacheStats, ClassStats, TierStats};
use crate::sweep::Bell;
use crate::tag::Tag;
use crate::touched::Touched;
use crate::ttl::TtlClass;
use crate::typed::TypedCache;

/// A cache of values of all types, read and filled through [`TypedCache`] handles, invalidated here.
///
/// Cloning copies a pointer; clones are one cache.
#[derive(Clone)]
pub struct TieredCache {
    pub(crate) tiers: Arc<Tiers>,
}

impl TieredCache {
    /// Starts the settings of a cache.
    pub fn builder() -> TieredCacheBuilder {
        TieredCacheBuilder::default()
    }

    /// A handle for values of type `V` in this class.
    ///
    /// Make it once and keep it: making one looks the class up under a lock. Handles of other types may use the same
    /// class, but no two types the same key.
    pub fn typed<V: Send + Sync + 'static>(&self, class: TtlClass) -> TypedCache<V> {
        TypedCache::new(self.clone(), self.tiers.classes.enter(class))
    }

    /// Invalidates all that a store write touched. Call it after the commit.
    ///
    /// As every invalidation: once it returns, no read that starts later sees a value that was loaded before it was
    /// called, and no load that is under way can bring one back.
    pub fn invalidate(&self, touched: &Touched) {
        for tag in touched.tags() {
            self.invalidate_tag(tag);
        }
        for key in touched.keys() {
            self.invalidate_key(key);
        }
    }

    /// Invalidates one key; tells whether a live value was held.
    pub fn invalidate_key(&self, key: &Key) -> bool {
        let removed = self.tiers.remove(key);
        self.tiers.notify(&Event::Invalidated { scope: Scope::Key(key), removed: Some(usize::from(removed)) });
        removed
    }

    /// Invalidates several keys; tells how many held a live value.
    pub fn invalidate_keys<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> usize {
        keys.into_iter().filter(|key| self.invalidate_key(key)).count()
    }

    /// Invalidates every entry that carries the tag, in constant time. Their space is given back later.
    pub fn invalidate_tag(&self, tag: &Tag) {
        self.tiers.fence.invalidate_tag(tag);
        self.tiers.notify(&Event::Invalidated { scope: Scope::Tag(tag), removed: None });
    }

    /// Removes exactly the entries whose key matches; tells how many of them were live.
    ///
    /// Walks over all entries, one short read lock each, so readers are never held up for long.
    pub fn invalidate_pattern(&self, pattern: &Pattern) -> usize {
        self.remove_matching(pattern, |_| true)
    }

    /// As [`invalidate_pattern`](Self::invalidate_pattern), of one class only; an unknown class has no entries.
    ///
    /// Loads under way whose key matches are fenced whatever their class: at worst they are made again.
    pub fn invalidate_pattern_of(&self, class: &str, pattern: &Pattern) -> usize {
        let Some(class) = self.tiers.classes.by_name(class) else { return 0 };
        self.remove_matching(pattern, |slot| slot.class == class.id)
    }

    fn remove_matching(&self, pattern: &Pattern, is_meant: impl Fn(&Slot) -> bool) -> usize {
        // The fence first: a load that fills after this is one that started after it.
        self.tiers.flights.fence_matching(pattern);
        let matching = self.tiers.memory.iter().filter(|(key, slot)| is_meant(slot) && pattern.matches(key.as_str()));
        let removed = matching.filter(|(key, _)| self.tiers.remove(key)).count();
        self.tiers.notify(&Event::Invalidated { scope: Scope::Pattern(pattern), removed: Some(removed) });
        removed
    }

    /// Invalidates every entry of the class, in constant time; tells whether there is such a class.
    pub fn invalidate_class(&self, name: &str) -> bool {
        let Some(class) = self.tiers.classes.by_name(name) else { return false };
        self.tiers.fence.invalidate_class(class.id);
        class.counters.add(Count::Invalidation);
        self.tiers.notify(&Event::Invalidated { scope: Scope::Class(name), removed: None });
        true
    }

    /// Invalidates everything, in constant time. The sweeper gives the space back at once afterwards.
    pub fn clear(&self) {
        self.tiers.fence.invalidate_all();
        self.tiers.bell.sweep();
        self.tiers.notify(&Event::Invalidated { scope: Scope::All, removed: None });
    }

    /// Gives back the space of dead entries now and tells how many there were; a thread does so at intervals.
    pub fn sweep(&self) -> usize {
        self.tiers.sweep()
    }

    /// What the cache holds and has done. Costs a lock per shard.
    pub fn stats(&self) -> CacheStats {
        let memory = &self.tiers.memory;
        let classes: Vec<ClassStats> = self.tiers.classes.all().iter().map(|class| ClassStats::of(class)).collect();
        let l1 = TierStats {
            tier: memory::NAME,
            entries: memory.entries(),
            capacity: memory.capacity(),
            weight: memory.weight_held(),
            hits: classes.iter().map(|class| class.hits + class.stale_hits).sum(),
            misses: classes.iter().map(|class| class.misses).sum(),
            evictions: memory.evictions(),
        };
        CacheStats { tiers: vec![l1], classes }
    }
}

impl fmt::Debug for TieredCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCache").field("entries", &self.tiers.memory.entries()).finish_non_exhaustive()
    }
}

/// A value on its way in, of any type.
pub(crate) struct Parcel {
    pub(crate) value: Anything,
    pub(crate) tags: Vec<Tag>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) bytes: usize,
}

/// What clones of a cache share: the tiers in order (so far one), and what guards them.
pub(crate) struct Tiers {
    pub(crate) memory: Memory,
    pub(crate) flights: FlightTable,
    pub(crate) fence: Fence,
    pub(crate) classes: ClassTable,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) bell: Arc<Bell>,
}

impl Tiers {
    /// Asks the tiers in order, counts and reports. The path of every hit: one shard's read lock, no allocation.
    pub(crate) fn look_up<T>(
        &self,
        key: &Key,
        class: &Class,
        open: impl FnOnce(Slot) -> Option<T>,
    ) -> Option<(T, State)> {
        let started = (self.observer.is_some() && class.counters.sample_due()).then(|| self.clock.precise());
        let found = self.live(key).and_then(|(slot, state)| open(slot).map(|value| (value, state)));
        let (count, outcome) = match found {
            Some((_, State::Fresh(_))) => (Count::Hit, LookupOutcome::Hit),
            Some(_) => (Count::StaleHit, LookupOutcome::Stale),
            None => (Count::Miss, LookupOutcome::Miss),
        };
        class.counters.add(count);
        if let Some(observer) = &self.observer {
            let latency = started.map(|started| self.clock.precise().saturating_sub(started));
            observer.on(&Event::Lookup { class: class.ttl.name(), tier: memory::NAME, outcome, latency });
        }
        found
    }

    fn live(&self, key: &Key) -> Option<(Slot, State)> {
        let slot = self.memory.get(key)?;
        match slot.state(self.clock.now(), &self.fence) {
            State::Dead => {
                self.memory.discard(key, &slot);
                None
            }
            state => Some((slot, state)),
        }
    }

    /// A second look, not counted, under the lock under which fills are made.
    pub(crate) fn peek(&self, key: &Key) -> Option<(Slot, State)> {
        let slot = self.memory.peek(key)?;
        let state = slot.state(self.clock.now(), &self.fence);
        (state != State::Dead).then_some((slot, state))
    }

    pub(crate) fn slot(&self, key: &Key, class: &Class, since: Generation, parcel: Parcel) -> Slot {
        let fresh_until = self.clock.now().saturating_add(class.ttl.in_l1(parcel.ttl));
        Slot {
            value: parcel.value,
            stamps: self.fence.stamps(&parcel.tags),
            class: class.id,
            since,
            fresh_until,
            stale_until: fresh_until.saturating_add(class.ttl.grace_period()),
            refresh_from: fresh_until,
            weight: self.memory.weight(key, parcel.tags.len(), parcel.bytes),
        }
    }

    /// Stores what a load or a caller brought. The caller holds the lock of the key's flights.
    pub(crate) fn fill(&self, key: &Key, slot: Slot) -> Inserted {
        if self.fence.admits(slot.class, &slot.stamps, slot.since) {
            self.memory.insert(key, slot)
        } else {
            Inserted::default()
        }
    }

    pub(crate) fn report_evicted(&self, key: &Key, inserted: &Inserted) {
        if let Some(observer) = &self.observer {
            for key in inserted.evicted(key) {
                observer.on(&Event::Evicted { tier: memory::NAME, key });
            }
        }
    }

    /// Removes the key from all tiers and fences its loads; tells whether a live value was held.
    pub(crate) fn remove(&self, key: &Key) -> bool {
        let Some(slot) = self.flights.fence(key, || self.memory.remove(key)) else { return false };
        let live = slot.state(self.clock.now(), &self.fence) != State::Dead;
        if live && let Some(class) = self.classes.by_id(slot.class) {
            class.counters.add(Count::Invalidation);
        }
        live
    }

    pub(crate) fn sweep(&self) -> usize {
        let now = self.clock.now();
        let dead = self.memory.iter().filter(|(_, slot)| slot.state(now, &self.fence) == State::Dead);
        let removed = dead.filter(|(key, slot)| self.memory.discard(key, slot)).count();
        self.fence.prune();
        removed
    }

    pub(crate) fn notify(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            observer.on(event);
        }
    }
}

impl Drop for Tiers {
    fn drop(&mut self) {
        self.bell.close();
    }
}
