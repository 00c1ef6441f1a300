//! The tiers in order, and their guards: the state that clones of a cache share.

use std::sync::Arc;

use crate::bell::Bell;
use crate::class::{Class, ClassTable, Count};
use crate::dice::Dice;
use crate::event::{Event, LookupOutcome, Observer, notify};
use crate::fence::Fence;
use crate::fill::{Fill, Keep, Known};
use crate::flight::FlightTable;
use crate::form::open;
use crate::heat::Heat;
use crate::key::Key;
use crate::l2::L2;
use crate::listen::Listeners;
use crate::memory::{self, Memory};
use crate::places::Places;
use crate::slot::{Anything, Slot, State};
use crate::stats::{CacheStats, ClassStats, TierStats};
use tidegate_clock::Clock;

/// State that clones of a cache share: the tiers in order, and their guards.
pub struct Tiers {
    pub memory: Memory,
    pub flights: FlightTable,
    pub fence: Fence,
    pub classes: ClassTable,
    pub heat: Heat,
    pub clock: Clock,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub listeners: Listeners,
    pub bell: Arc<Bell>,
    pub(crate) dice: Dice,
    /// Permits for loads of all classes, if they are bounded.
    pub(crate) places: Option<Places>,
    pub l2: Option<Arc<L2>>,
}

impl Tiers {
    /// Decides how long a value lives, and whether it is stored at all. Runs once for each fill,
    /// before any tier gets the value.
    pub fn settle<V>(&self, class: &Class, fill: &mut Fill<V>) {
        let ttl = class.ttl.lifetime(fill.ttl, fill.is_negative, &self.dice);
        if ttl.is_zero() && fill.keep == Keep::Value {
            fill.keep = Keep::Nothing;
        }
        fill.ttl = Some(ttl);
    }

    /// Reads the tiers in order, counts and reports. A hit takes one read lock, no allocation.
    pub fn look_up<T>(&self, key: &Key, class: &Class, open: impl FnOnce(Anything) -> Option<T>) -> Option<(T, State)> {
        let started = (self.observer.is_some() && class.counters.sample_due()).then(|| self.clock.now());
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
            let latency = started.map(|started| self.clock.now().saturating_sub(started));
            notify(&**observer, &Event::Lookup { class: class.ttl.name(), tier: memory::NAME, outcome, latency });
        }
        found
    }

    fn live(&self, key: &Key) -> Option<(Anything, State)> {
        let (hit, seen) = self.memory.get(key)?;
        let now = self.clock.coarse();
        match hit.calm.left(now.into()) {
            Some(left) if self.fence.seen(hit.cells) == seen => Some((hit.value, State::Fresh(left))),
            _ => self.consider(key, now),
        }
    }

    /// Reads without counting, under the lock under which fills are made.
    pub fn peek(&self, key: &Key) -> Option<(Slot, State)> {
        let slot = self.memory.peek(key)?;
        let state = slot.state(self.clock.coarse(), &self.fence);
        (state != State::Dead).then_some((slot, state))
    }

    /// Returns the value of L1, for a loader that may confirm it.
    pub fn known<V: Send + Sync + 'static>(&self, key: &Key) -> Option<Known<V>> {
        let (slot, _) = self.peek(key)?;
        let tags = slot.stamps.tags();
        Some(Known::new(open(slot)?, tags))
    }

    /// Returns the content and the counters of the tiers. Costs a lock per shard.
    pub fn stats(&self) -> CacheStats {
        let memory = &self.memory;
        let classes: Vec<ClassStats> = self.classes.all().iter().map(|class| ClassStats::of(class)).collect();
        let l1 = TierStats {
            tier: memory::NAME,
            entries: Some(memory.entries()),
            capacity: Some(memory.capacity()),
            weight: Some(memory.weight_held()),
            hits: classes.iter().map(|class| class.hits + class.stale_hits).sum(),
            misses: classes.iter().map(|class| class.misses).sum(),
            from_replicas: 0,
            evictions: Some(memory.evictions()),
            errors: 0,
            codec_errors: 0,
            owed: 0,
            is_followed: true,
            is_available: true,
        };
        let tiers = std::iter::once(l1).chain(self.l2.as_ref().map(|l2| l2.stats())).collect();
        CacheStats { tiers, classes }
    }

    pub fn notify(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            notify(&**observer, event);
        }
    }
}

impl Drop for Tiers {
    fn drop(&mut self) {
        self.bell.close();
    }
}
