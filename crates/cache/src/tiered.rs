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
use crate::dice::Dice;
use crate::event::{Event, LookupOutcome, Observer, tell};
use crate::fence::Fence;
use crate::fill::{Fill, Keep};
use crate::flight::{Flight, FlightTable};
use crate::key::Key;
#[cfg(feature = "redis")]
use crate::l2::{Debt, L2, Mark, Patience, Sought};
use crate::listen::Listeners;
use crate::memory::{self, Memory};
use crate::nested;
use crate::places::{Full, Places};
use crate::read::Source;
use crate::slot::{Anything, Slot, State};
use crate::sweep::Bell;
use crate::tag::Tag;
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

    /// Gives L1 another capacity, in entries or bytes as it was built, less what its shards can't divide.
    ///
    /// Smaller, entries leave at once until it fits, a shard at a time under its lock: their number counts as evictions, and
    /// nobody is told of each ([`Event::Evicted`], [`TypedCache::on_removal`]). The largest value that L1 takes grows and
    /// shrinks with it.
    pub fn set_l1_capacity(&self, capacity: u64) {
        self.tiers.memory.set_capacity(capacity);
    }

    /// Gives back the space of dead entries now and tells how many there were; a thread does so at intervals.
    pub fn sweep(&self) -> usize {
        self.tiers.sweep()
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
    /// Whether it says that there is nothing.
    pub(crate) is_negative: bool,
    pub(crate) keep: Keep,
    /// The grace that it came with from L2.
    pub(crate) grace: Option<Duration>,
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

impl Brought {
    /// The notices that its flight had had when this was known to be what the key holds.
    pub(crate) fn noticed(&self) -> u64 {
        #[cfg(feature = "redis")]
        return Mark::noticed(self.mark);
        #[cfg(not(feature = "redis"))]
        0
    }

    /// What was loaded for those who wait, and is kept in no tier.
    #[cfg(feature = "redis")]
    pub(crate) fn of_nowhere(parcel: Parcel, loaded_in: Duration, began: u64) -> Self {
        // As new as the notices that had come when its load began.
        let mark = Some(Mark { id: None, left: Duration::ZERO, noticed: began });
        Self { parcel, source: Source::Loaded, may_keep: false, loaded_in: Some(loaded_in), mark }
    }
}

/// What a load may still spend on L2, where its caller has looked at a glance already.
#[derive(Default)]
pub(crate) struct L2Left(#[cfg(feature = "redis")] Option<Patience>);

#[cfg(feature = "redis")]
impl L2Left {
    pub(crate) fn behind(glance: Patience) -> Self {
        Self(Some(glance))
    }
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
    pub(crate) listeners: Listeners,
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
        left: L2Left,
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
            let has_glanced = left.0.is_some();
            let mut patience = left.0.unwrap_or_else(|| l2.patience());
            let mut sought = l2.seek(key, class, codec, flight, has_glanced, &mut patience).boxed().await;
            let mut was_there = flight.past().is_some();
            if let Sought::Stale(past) = sought {
                was_there = true;
                let id = past.id;
                self.fall_back_on(past, key, class, form, flight, true);
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
                Sought::Absent(ticket) => {
                    if ticket.is_none() {
                        flight.lacks_l2();
                    }
                    ticket
                }
            };
            let began = flight.noticed();
            // Dead or not: whatever L1 holds of it, others may hold as well.
            was_there |= self.memory.peek(key).is_some();
            let running = self.run(key, class, flight, loader);
            let (fill, loaded_in) = match &ticket {
                Some(ticket) => ticket.renewed_during(running).await,
                None => running.await,
            }?;
            if fill.keep != Keep::Value {
                if fill.keep == Keep::Nothing {
                    l2.clear(key, class, ticket, was_there, &mut patience).boxed().await;
                }
                // With a ticket that is left the fence goes back.
                return Ok(Brought::of_nowhere(pack(fill, form.weigh), loaded_in, began));
            }
            let mark = l2.fill(ticket, class, codec, &fill, (flight, began), &mut patience).boxed().await;
            let mut parcel = pack(fill, form.weigh);
            parcel.cost = Some(loaded_in);
            let may_keep = mark.is_some();
            return Ok(Brought { parcel, source: Source::Loaded, may_keep, loaded_in: Some(loaded_in), mark });
        }
        #[cfg(not(feature = "redis"))]
        let L2Left() = left;
        #[cfg(feature = "redis")]
        let before = self.held_above_l2(key);
        let (fill, loaded_in) = self.run(key, class, flight, loader).await?;
        #[cfg(feature = "redis")]
        if fill.keep == Keep::Nothing {
            self.tell_others_gone([(key, before)]).boxed().await;
        }
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

    /// Runs the loader, once there is a place for it; and tells what it brought, and in what time.
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
        let (mut fill, loaded_in) = self.run_placed(key, class, flight, loader).await?;
        if !class.ttl.eager(Some(loaded_in)).is_zero() {
            class.counters.took(loaded_in);
        }
        self.settle(class, &mut fill);
        Ok((fill, loaded_in))
    }

    /// Runs a loader, of one key or of a batch that begins with it, once there is a place for it.
    pub(crate) async fn run_placed<T, E, F, Fut>(
        &self,
        key: &Key,
        class: &Class,
        flight: &Arc<Flight>,
        loader: F,
    ) -> Result<(T, Duration), Halted<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
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
        Ok((loaded.map_err(Halted::Failed)?, self.clock.precise().saturating_sub(started)))
    }

    /// What L1 holds of a key that its handle has no form for in L2, where there is one.
    #[cfg(feature = "redis")]
    pub(crate) fn held_above_l2(&self, key: &Key) -> Option<Anything> {
        self.l2.as_ref()?;
        self.memory.peek(key).map(|slot| slot.value)
    }

    /// Has other processes told that these keys are not to be kept, where L1 still holds what it held before they were loaded. A
    /// key of which it held nothing costs Redis nothing, and what was stored meanwhile stays.
    #[cfg(feature = "redis")]
    pub(crate) async fn tell_others_gone(&self, before: impl IntoIterator<Item = (&Key, Option<Anything>)>) {
        let Some(l2) = &self.l2 else { return };
        let is_there =
            |key: &Key, before: &Anything| self.memory.peek(key).is_some_and(|slot| Arc::ptr_eq(&slot.value, before));
        let gone =
            before.into_iter().filter(|(key, before)| before.as_ref().is_some_and(|before| is_there(key, before)));
        let gone = gone.map(|(key, _)| Debt::Key(key.clone())).collect();
        // What could not be told is owed.
        drop(l2.invalidate(gone).await);
    }

    /// Decides how long a value lives, and whether at all. Once for each fill, before any tier is told.
    pub(crate) fn settle<V>(&self, class: &Class, fill: &mut Fill<V>) {
        let ttl = class.ttl.lifetime(fill.ttl, fill.is_negative, &self.dice);
        if ttl.is_zero() && fill.keep == Keep::Value {
            fill.keep = Keep::Nothing;
        }
        fill.ttl = Some(ttl);
    }

    /// Asks the tiers in order, counts and reports. The path of every hit: one shard's read lock, no allocation.
    pub(crate) fn look_up<T>(
        &self,
        key: &Key,
        class: &Class,
        open: impl FnOnce(Anything) -> Option<T>,
    ) -> Option<(T, State)> {
        let started = (self.observer.is_some() && class.counters.sample_due()).then(|| self.clock.precise());
        let found = self.live(key).and_then(|(value, state)| open(value).map(|value| (value, state)));
        let (count, outcome) = match found {
            Some((_, State::Fresh(_) | State::Waning(_))) => (Count::Hit, LookupOutcome::Hit),
            Some(_) => (Count::StaleHit, LookupOutcome::Stale),
            None => (Count::Miss, LookupOutcome::Miss),
        };
        if Heat::is_sample(class.counters.tick(count)) {
            self.heat.note(key);
        }
        if let Some(observer) = &self.observer {
            let latency = started.map(|started| self.clock.precise().saturating_sub(started));
            tell(&**observer, &Event::Lookup { class: class.ttl.name(), tier: memory::NAME, outcome, latency });
        }
        found
    }

    fn live(&self, key: &Key) -> Option<(Anything, State)> {
        let (hit, seen) = self.memory.get(key)?;
        let now = self.clock.now();
        match hit.calm.left(now.into()) {
            Some(left) if self.fence.seen(hit.cells) == seen => Some((hit.value, State::Fresh(left))),
            _ => self.consider(key, now),
        }
    }

    /// A second look, not counted, under the lock under which fills are made.
    pub(crate) fn peek(&self, key: &Key) -> Option<(Slot, State)> {
        let slot = self.memory.peek(key)?;
        let state = slot.state(self.clock.now(), &self.fence);
        (state != State::Dead).then_some((slot, state))
    }

    pub(crate) fn notify(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            tell(&**observer, event);
        }
    }
}

impl Drop for Tiers {
    fn drop(&mut self) {
        self.bell.close();
    }
}
