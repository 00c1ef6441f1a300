//! The cache itself: the only place that knows the tiers and their order.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "redis")]
use futures_util::FutureExt;

use crate::builder::TieredCacheBuilder;
use crate::class::{Class, ClassTable, Count};
use crate::clock::Clock;
#[cfg(feature = "redis")]
use crate::codec::Codec;
use crate::event::{Event, LookupOutcome, Observer, Scope};
use crate::fence::{Fence, Generation};
use crate::fill::Fill;
use crate::flight::{Flight, FlightTable};
use crate::key::Key;
#[cfg(feature = "redis")]
use crate::l2::{Debt, L2, Mark, Sought};
use crate::memory::{self, Inserted, Memory};
use crate::owed::Owed;
use crate::pattern::Pattern;
use crate::read::Source;
use crate::slot::{Anything, Slot, State};
use crate::stats::{CacheStats, ClassStats, TierStats};
use crate::sweep::Bell;
use crate::tag::Tag;
use crate::touched::Touched;
use crate::ttl::TtlClass;
use crate::typed::{Form, TypedCache, pack};
use crate::warm_up::Heat;

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

    /// As [`typed`](Self::typed), for values that go to L2 as well, in the form that `codec` gives them.
    ///
    /// Without an L2 the codec is not used.
    #[cfg(feature = "redis")]
    pub fn typed_with_codec<V: Send + Sync + 'static>(&self, class: TtlClass, codec: impl Codec<V>) -> TypedCache<V> {
        TypedCache::new(self.clone(), self.tiers.classes.enter(class)).with_codec(codec)
    }

    /// Invalidates all that a store write touched. Call it after the commit.
    ///
    /// As every invalidation: once it returns, no read that starts later sees a value that was loaded before it was
    /// called, and no load that is under way can bring one back. L1 is done when the call is made, without waiting; with
    /// L1 alone nothing is waited for. Dropped half-way, it is carried on behind.
    ///
    /// # Errors
    ///
    /// [`Owed`] when the shared tier could not be told. This process has invalidated all the same.
    pub async fn invalidate(&self, touched: &Touched) -> Result<(), Owed> {
        let tags = touched.tags().map(Scope::Tag);
        let scopes: Vec<Scope<'_>> = tags.chain(touched.keys().map(Scope::Key)).collect();
        self.invalidate_scopes(&scopes).await?;
        Ok(())
    }

    /// Invalidates one key; tells whether L1 held a live value.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_key(&self, key: &Key) -> Result<bool, Owed> {
        Ok(self.invalidate_scopes(&[Scope::Key(key)]).await? > 0)
    }

    /// Invalidates several keys; tells how many held a live value in L1.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_keys<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Result<usize, Owed> {
        let scopes: Vec<Scope<'_>> = keys.into_iter().map(Scope::Key).collect();
        self.invalidate_scopes(&scopes).await
    }

    /// Invalidates every entry that carries the tag, in constant time. Their space is given back later.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_tag(&self, tag: &Tag) -> Result<(), Owed> {
        self.invalidate_scopes(&[Scope::Tag(tag)]).await?;
        Ok(())
    }

    /// Removes exactly the entries whose key matches; tells how many of them were live in L1.
    ///
    /// Walks over all entries of L1, one short read lock each, so readers are never held up for long; and over all keys of
    /// L2, twice, a thousand a step: with a million keys that takes seconds. Prefer a tag.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_pattern(&self, pattern: &Pattern) -> Result<usize, Owed> {
        self.invalidate_scopes(&[Scope::Pattern(pattern)]).await
    }

    /// As [`invalidate_pattern`](Self::invalidate_pattern), of one class only; an unknown class has no entries.
    ///
    /// Loads under way whose key matches are fenced whatever their class: at worst they are made again.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_pattern_of(&self, class: &str, pattern: &Pattern) -> Result<usize, Owed> {
        self.invalidate_scopes(&[Scope::PatternOf(class, pattern)]).await
    }

    /// Invalidates every entry of the class, in constant time; tells whether this process knows such a class.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn invalidate_class(&self, name: &str) -> Result<bool, Owed> {
        let class = self.tiers.classes.by_name(name);
        if let Some(class) = &class {
            class.counters.add(Count::Invalidation);
        }
        self.invalidate_scopes(&[Scope::Class(name)]).await?;
        Ok(class.is_some())
    }

    /// Invalidates everything, in constant time. The sweeper gives the space back at once afterwards.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub async fn clear(&self) -> Result<(), Owed> {
        self.invalidate_scopes(&[Scope::All]).await?;
        Ok(())
    }

    /// L1 first, then the tiers behind it.
    async fn invalidate_scopes(&self, scopes: &[Scope<'_>]) -> Result<usize, Owed> {
        let mut removed = 0;
        for scope in scopes {
            let count = self.tiers.drop_scope(*scope);
            removed += count;
            let is_counted = matches!(scope, Scope::Key(_) | Scope::Pattern(_) | Scope::PatternOf(..));
            // A class that nobody here has is none of this process's business.
            if !matches!(scope, Scope::Class(class) if self.tiers.classes.by_name(class).is_none()) {
                self.tiers.notify(&Event::Invalidated { scope: *scope, removed: is_counted.then_some(count) });
            }
        }
        #[cfg(feature = "redis")]
        if let Some(l2) = &self.tiers.l2 {
            // Boxed, so that what a caller's future weighs does not depend on what Redis takes.
            let told = l2.invalidate(scopes.iter().map(|scope| Debt::of(*scope)).collect()).boxed().await;
            // A load that started after L1 was done may have read the old value while L2 still held it.
            for scope in scopes {
                self.tiers.drop_scope(*scope);
            }
            told.map_err(|reason| Owed { removed, reason })?;
        }
        Ok(removed)
    }

    /// Invalidations of which the tier that processes share has not heard yet; none when there is no such tier.
    pub fn owed(&self) -> Option<u64> {
        #[cfg(feature = "redis")]
        return self.tiers.l2.as_ref().map(|l2| l2.owed());
        #[cfg(not(feature = "redis"))]
        None
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
            entries: Some(memory.entries()),
            capacity: Some(memory.capacity()),
            weight: Some(memory.weight_held()),
            hits: classes.iter().map(|class| class.hits + class.stale_hits).sum(),
            misses: classes.iter().map(|class| class.misses).sum(),
            evictions: Some(memory.evictions()),
            errors: 0,
            codec_errors: 0,
            owed: 0,
            is_followed: true,
            is_available: true,
        };
        #[cfg(feature = "redis")]
        let tiers = std::iter::once(l1).chain(self.tiers.l2.as_ref().map(|l2| l2.stats())).collect();
        #[cfg(not(feature = "redis"))]
        let tiers = vec![l1];
        CacheStats { tiers, classes }
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

/// What a miss in L1 brought.
pub(crate) struct Brought {
    pub(crate) parcel: Parcel,
    pub(crate) source: Source,
    /// Whether L1 may keep it, as far as L2 knows.
    pub(crate) may_keep: bool,
    /// How long the loader took, if it ran.
    pub(crate) loaded_in: Option<Duration>,
    #[cfg(feature = "redis")]
    pub(crate) mark: Option<Mark>,
}

/// What clones of a cache share: the tiers in order, and what guards them.
pub(crate) struct Tiers {
    pub(crate) memory: Memory,
    pub(crate) flights: FlightTable,
    pub(crate) fence: Fence,
    pub(crate) classes: ClassTable,
    pub(crate) heat: Heat,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) bell: Arc<Bell>,
    #[cfg(feature = "redis")]
    pub(crate) l2: Option<Arc<L2>>,
}

impl Tiers {
    /// Brings what L1 doesn't have: from L2, else from the loader, which then fills L2.
    pub(crate) async fn bring<V, E, F, Fut>(
        &self,
        key: &Key,
        class: &Class,
        form: &Form<V>,
        flight: &Flight,
        loader: F,
    ) -> Result<Brought, E>
    where
        V: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Fill<V>, E>>,
    {
        #[cfg(not(feature = "redis"))]
        let _ = (key, flight);
        #[cfg(feature = "redis")]
        if let (Some(l2), Some(codec)) = (&self.l2, &form.codec) {
            let codec = &**codec;
            let mut patience = l2.patience();
            let ticket = match l2.seek(key, class, codec, flight, &mut patience).boxed().await {
                Sought::Found { fill, mark } => {
                    let parcel = pack(fill, form.weigh);
                    let may_keep = mark.is_some();
                    return Ok(Brought { parcel, source: Source::Shared, may_keep, loaded_in: None, mark });
                }
                Sought::Absent(ticket) => ticket,
            };
            let (fill, loaded_in) = self.run(class, loader).await?;
            let mark = l2.fill(ticket, class, codec, &fill, flight, &mut patience).boxed().await;
            let parcel = pack(fill, form.weigh);
            let may_keep = mark.is_some();
            return Ok(Brought { parcel, source: Source::Loaded, may_keep, loaded_in: Some(loaded_in), mark });
        }
        let (fill, loaded_in) = self.run(class, loader).await?;
        Ok(Brought {
            parcel: pack(fill, form.weigh),
            source: Source::Loaded,
            may_keep: true,
            loaded_in: Some(loaded_in),
            #[cfg(feature = "redis")]
            mark: None,
        })
    }

    async fn run<V, E, F, Fut>(&self, class: &Class, loader: F) -> Result<(Fill<V>, Duration), E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Fill<V>, E>>,
    {
        class.counters.add(Count::Load);
        let started = self.clock.precise();
        let fill = loader().await?;
        Ok((fill, self.clock.precise().saturating_sub(started)))
    }

    /// Invalidates in L1 alone; tells how many live entries were removed, where they are counted.
    pub(crate) fn drop_scope(&self, scope: Scope<'_>) -> usize {
        match scope {
            Scope::Key(key) => return usize::from(self.remove(key)),
            Scope::Pattern(pattern) => return self.remove_matching(pattern, |_| true),
            Scope::PatternOf(class, pattern) => {
                let Some(class) = self.classes.by_name(class) else { return 0 };
                return self.remove_matching(pattern, |slot| slot.class == class.id);
            }
            Scope::Tag(tag) => self.fence.invalidate_tag(tag),
            Scope::Class(name) => {
                if let Some(class) = self.classes.by_name(name) {
                    self.fence.invalidate_class(class.id);
                }
            }
            Scope::All => {
                self.fence.invalidate_all();
                self.bell.sweep();
            }
        }
        0
    }

    fn remove_matching(&self, pattern: &Pattern, is_meant: impl Fn(&Slot) -> bool) -> usize {
        // The fence first: a load that fills after this is one that started after it.
        self.flights.fence_matching(pattern);
        let matching = self.memory.iter().filter(|(key, slot)| is_meant(slot) && pattern.matches(key.as_str()));
        matching.filter(|(key, _)| self.remove(key)).count()
    }

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
        if Heat::is_sample(class.counters.add(count)) {
            self.heat.note(key);
        }
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

    pub(crate) fn slot(
        &self,
        key: &Key,
        class: &Class,
        since: Generation,
        parcel: Parcel,
        #[cfg(feature = "redis")] mark: Option<Mark>,
    ) -> Slot {
        let lifetime = class.ttl.in_l1(parcel.ttl);
        #[cfg(feature = "redis")]
        let lifetime = mark.map_or(lifetime, |mark| class.ttl.in_l1_above_l2(mark.left));
        let fresh_until = self.clock.now().saturating_add(lifetime);
        Slot {
            value: parcel.value,
            stamps: self.fence.stamps(&parcel.tags),
            class: class.id,
            since,
            fresh_until,
            stale_until: fresh_until.saturating_add(class.ttl.grace_period()),
            refresh_from: fresh_until,
            weight: self.memory.weight(key, parcel.tags.len(), parcel.bytes),
            #[cfg(feature = "redis")]
            shared: mark.and_then(|mark| mark.id),
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

    /// Removes the key from L1 and fences its loads; tells whether a live value was held.
    fn remove(&self, key: &Key) -> bool {
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
