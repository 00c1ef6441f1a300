//! The cache itself: the only place that knows the tiers and their order.

use std::fmt;
use std::future::Future;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "redis")]
use futures_util::FutureExt;

use crate::builder::TieredCacheBuilder;
use crate::class::{Class, ClassTable, Count};
use crate::clock::Clock;
#[cfg(feature = "redis")]
use crate::codec::Codec;
use crate::dice::Dice;
use crate::event::{Event, LookupOutcome, Observer, Removal, Scope};
use crate::fence::{Fence, Generation};
use crate::fill::Fill;
use crate::flight::{Flight, FlightTable};
use crate::key::Key;
#[cfg(feature = "redis")]
use crate::l2::{Debt, L2, Mark, Sought};
use crate::memory::{self, Inserted, Memory};
use crate::moment::Moment;
use crate::nested;
use crate::owed::Owed;
use crate::pattern::Pattern;
use crate::places::{Full, Places};
use crate::read::Source;
use crate::slot::{Anything, Lifetime, Slot, State, Times};
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
    /// How long a load of it takes, as far as is known.
    pub(crate) cost: Option<Duration>,
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

/// Why a load brought nothing.
pub(crate) enum Halted<E> {
    /// The loader's own error.
    Failed(E),
    /// It did not get to run.
    Refused,
}

impl<E> From<Full> for Halted<E> {
    fn from(Full: Full) -> Self {
        Self::Refused
    }
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
    pub(crate) dice: Dice,
    /// Where loads of all classes find a place, if they are bounded.
    pub(crate) places: Option<Places>,
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
        flight: &Arc<Flight>,
        loader: F,
    ) -> Result<Brought, Halted<E>>
    where
        V: Send + Sync + 'static,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Fill<V>, E>>,
    {
        #[cfg(feature = "redis")]
        if let (Some(l2), Some(codec)) = (&self.l2, &form.codec) {
            let codec = &**codec;
            let mut patience = l2.patience();
            let mut sought = l2.seek(key, class, codec, flight, &mut patience).boxed().await;
            if let Sought::Stale(past) = sought {
                let id = past.id;
                self.fall_back_on(past, key, class, form, flight);
                sought = l2.seek_newer(key, class, codec, flight, id, &mut patience).boxed().await;
            }
            let ticket = match sought {
                Sought::Found { fill, mark } => {
                    let mut parcel = pack(fill, form.weigh);
                    parcel.cost = class.counters.last_load();
                    let may_keep = mark.is_some();
                    return Ok(Brought { parcel, source: Source::Shared, may_keep, loaded_in: None, mark });
                }
                Sought::Stale(_) => None,
                Sought::Absent(ticket) => ticket,
            };
            let (fill, loaded_in) = self.run(key, class, flight, loader).await?;
            let mark = l2.fill(ticket, class, codec, &fill, flight, &mut patience).boxed().await;
            let mut parcel = pack(fill, form.weigh);
            parcel.cost = Some(loaded_in);
            let may_keep = mark.is_some();
            return Ok(Brought { parcel, source: Source::Loaded, may_keep, loaded_in: Some(loaded_in), mark });
        }
        let (fill, loaded_in) = self.run(key, class, flight, loader).await?;
        let mut parcel = pack(fill, form.weigh);
        parcel.cost = Some(loaded_in);
        Ok(Brought {
            parcel,
            source: Source::Loaded,
            may_keep: true,
            loaded_in: Some(loaded_in),
            #[cfg(feature = "redis")]
            mark: None,
        })
    }

    /// Runs the loader, once there is a place for it.
    async fn run<V, E, F, Fut>(
        &self,
        key: &Key,
        class: &Class,
        flight: &Arc<Flight>,
        loader: F,
    ) -> Result<(Fill<V>, Duration), Halted<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Fill<V>, E>>,
    {
        let in_line = || {
            class.counters.add(Count::Queued);
            self.notify(&Event::LoadQueued { class: class.ttl.name(), key });
        };
        // That of the class first: whoever waits for it keeps no place from the others.
        let mut held = Vec::new();
        for places in class.places.as_deref().into_iter().chain(&self.places) {
            held.extend(places.enter(flight, in_line).await?);
        }
        class.counters.add(Count::Load);
        let started = self.clock.precise();
        let loaded = nested::within(flight, async move { loader().await }).await;
        drop(held);
        let mut fill = loaded.map_err(Halted::Failed)?;
        let loaded_in = self.clock.precise().saturating_sub(started);
        if !class.ttl.eager(Some(loaded_in)).is_zero() {
            class.counters.took(loaded_in);
        }
        self.settle(class, &mut fill);
        Ok((fill, loaded_in))
    }

    /// Decides how long a value lives. Once for each fill, before any tier is told.
    pub(crate) fn settle<V>(&self, class: &Class, fill: &mut Fill<V>) {
        fill.ttl = Some(class.ttl.lifetime(fill.ttl, mem::take(&mut fill.is_negative), &self.dice));
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
            Some((_, State::Fresh(_) | State::Waning(_))) => (Count::Hit, LookupOutcome::Hit),
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
        let now = self.clock.now();
        match slot.state(now, &self.fence) {
            State::Dead => {
                self.bury(key, &slot);
                None
            }
            State::Waning(_) => {
                let state = self.tend(key, &slot, now.into());
                Some((slot, state))
            }
            state => Some((slot, state)),
        }
    }

    /// The second thought that a fresh entry needs: prolongs its life if that is due, and tells whether to load it anew.
    #[cold]
    fn tend(&self, key: &Key, slot: &Slot, now: Moment) -> State {
        let mut times = slot.times;
        if times.may_slide(now) {
            times.slide(now);
            let slide = |held: &mut Times| {
                if held.may_slide(now) {
                    held.slide(now);
                }
            };
            self.flights.hold(key, || self.memory.amend(key, slide));
        }
        let left = times.left(now);
        if times.is_due(now, &self.dice) { State::Waning(left) } else { State::Fresh(left) }
    }

    /// Removes a dead entry, unless there is another one by now; tells whether it did.
    #[cold]
    fn bury(&self, key: &Key, slot: &Slot) -> bool {
        let is_removed = self.memory.discard(key, slot);
        if is_removed {
            self.report_removed(key, self.why_dead(slot));
        }
        is_removed
    }

    fn why_dead(&self, slot: &Slot) -> Removal {
        let admits = self.fence.admits(slot.class, &slot.stamps, slot.since);
        if admits { Removal::Expired } else { Removal::Invalidated }
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
        let own = class.ttl.in_l1(parcel.ttl);
        let (fresh, whole, idle) = match class.ttl.cap() {
            Some(cap) => (own.min(cap), cap, own),
            None => (own, own, Duration::ZERO),
        };
        // What lies in L2 does not slide.
        #[cfg(feature = "redis")]
        let (fresh, whole, idle) = mark.map_or((fresh, whole, idle), |mark| {
            (class.ttl.in_l1_above_l2(mark.left, &self.dice), mark.left, Duration::ZERO)
        });
        let (grace, ahead) = (class.ttl.grace_period(), class.ttl.ahead());
        let lifetime = Lifetime { fresh, whole, grace, ahead, idle, eager: class.ttl.eager(parcel.cost) };
        Slot {
            value: parcel.value,
            stamps: self.fence.stamps(&parcel.tags),
            class: class.id,
            since,
            times: Times::new(self.clock.now().into(), &lifetime),
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

    /// Tells of what an insertion drove out.
    pub(crate) fn report_left(&self, key: &Key, inserted: &Inserted) {
        if let Some(observer) = &self.observer {
            for key in inserted.evicted(key) {
                observer.on(&Event::Evicted { tier: memory::NAME, key });
            }
            if inserted.has_replaced(key) {
                self.report_removed(key, Removal::Replaced);
            }
        }
    }

    pub(crate) fn report_removed(&self, key: &Key, cause: Removal) {
        self.notify(&Event::Removed { tier: memory::NAME, key, cause });
    }

    /// Removes the key from L1 and fences its loads; tells whether a live value was held.
    fn remove(&self, key: &Key) -> bool {
        let Some(slot) = self.flights.fence(key, || self.memory.remove(key)) else { return false };
        let live = slot.state(self.clock.now(), &self.fence) != State::Dead;
        if live && let Some(class) = self.classes.by_id(slot.class) {
            class.counters.add(Count::Invalidation);
        }
        self.report_removed(key, if live { Removal::Invalidated } else { self.why_dead(&slot) });
        live
    }

    pub(crate) fn sweep(&self) -> usize {
        let now = self.clock.now();
        let dead = self.memory.iter().filter(|(_, slot)| slot.state(now, &self.fence) == State::Dead);
        let removed = dead.filter(|(key, slot)| self.bury(key, slot)).count();
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
