//! Loads: joined or started by callers, run in tasks of their own, landed exactly once.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use crate::class::{Class, Count};
use crate::event::{Event, LoadResult};
use crate::fence::Generation;
use crate::fill::Fill;
use crate::flight::{Entered, Flight, Kind, Outcome};
use crate::key::Key;
use crate::memory::Inserted;
use crate::read::{LoadError, Read, Source};
use crate::slot::{Anything, Slot, State};
use crate::tiered::{Brought, Tiers};
use crate::typed::{TypedCache, open, stale};

/// After a refresh that failed, the stale value is served this long before the next attempt, so that a source in
/// trouble is not asked at the rate of the readers.
const PAUSE: Duration = Duration::from_secs(1);

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// The slow path of `get_or_load`: waits for a load under way, or starts one.
    pub(crate) async fn load<E, F, Fut>(&self, key: &Key, loader: F) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return Err(LoadError::NoRuntime) };
        let arrived = self.cache.tiers.fence.now();
        let mut waited = false;
        loop {
            let live = |(slot, state): (Slot, State)| open::<V>(slot).map(|value| (value, state));
            match self.enter::<E, _>(key, || self.cache.tiers.peek(key).and_then(live)) {
                Entered::Found((value, State::Fresh(fresh_for))) => {
                    return Ok(Read { value, source: Source::Collapsed, fresh_for, stored: true });
                }
                Entered::Found((value, _)) => return Ok(stale(value)),
                Entered::Started(flight) => {
                    self.launch(&runtime, key, &flight, loader);
                    return self.answer(flight.outcome().await, None);
                }
                Entered::Joined(flight) => {
                    // Once a miss, though it may wait twice.
                    if !std::mem::replace(&mut waited, true) {
                        self.class.counters.add(Count::Collapsed);
                    }
                    let outcome = flight.outcome().await;
                    // The tags were not known when this caller joined. If one of them was invalidated before this
                    // caller came, the value is too old for it; a load that starts now cannot be.
                    if flight.since >= arrived || !overtaken(outcome, flight.since) {
                        return self.answer(outcome, Some(Source::Collapsed));
                    }
                }
            }
        }
    }

    /// Loads anew behind a stale value, unless that is under way.
    pub(crate) fn refresh<E, F, Fut>(&self, runtime: &Handle, key: &Key, loader: F)
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let done = |(_, state): &(Slot, State)| *state != State::Stale;
        let entered = self.enter::<E, _>(key, || self.cache.tiers.peek(key).filter(done));
        if let Entered::Started(flight) = entered {
            self.launch(runtime, key, &flight, loader);
        }
    }

    pub(crate) fn enter<E: 'static, T>(&self, key: &Key, recheck: impl FnOnce() -> Option<T>) -> Entered<T> {
        let fence = &self.cache.tiers.fence;
        let kind = Kind::of::<V, E>();
        let admissible = |flight: &Flight| fence.admits_class(flight.class, flight.since);
        let start = || Flight::new(kind, self.class.id, fence.now());
        self.cache.tiers.flights.enter(key, kind, recheck, admissible, start)
    }

    pub(crate) fn launch<E, F, Fut>(&self, runtime: &Handle, key: &Key, flight: &Arc<Flight>, loader: F)
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let landing = Landing::new(Arc::clone(&self.cache.tiers), Arc::clone(&self.class), key, flight);
        let (tiers, class, flight) = (Arc::clone(&self.cache.tiers), Arc::clone(&self.class), Arc::clone(flight));
        let (key, form) = (key.clone(), self.form.clone());
        // What user code may panic in, the call of the loader and the weighing included, stands inside the catch.
        let work = async move { tiers.bring(&key, &class, &form, &flight, loader).await };
        // A runtime that is shutting down drops the task unpolled, and with it the landing, which then reports.
        runtime.spawn(async move {
            landing.land(match AssertUnwindSafe(work).catch_unwind().await {
                Ok(Ok(brought)) => Ended::Brought(brought),
                Ok(Err(error)) => Ended::Failed(Arc::new(error)),
                Err(_) => Ended::Panicked,
            });
        });
    }

    pub(crate) fn answer<E: Send + Sync + 'static>(
        &self,
        outcome: &Outcome,
        waited: Option<Source>,
    ) -> Result<Read<V>, LoadError<E>> {
        match outcome {
            Outcome::Loaded { slot, stored, source } => {
                let source = waited.unwrap_or(*source);
                let left = slot.fresh_until.saturating_sub(self.cache.tiers.clock.now());
                let fresh_for = if *stored { left } else { Duration::ZERO };
                let value = open(slot.clone()).expect("callers share a load only when the value's type is the same");
                Ok(Read { value, source, fresh_for, stored: *stored })
            }
            Outcome::Failed(error) => {
                let error = Arc::clone(error).downcast();
                Err(LoadError::Loader(error.expect("callers share a load only when the error's type is the same")))
            }
            Outcome::Panicked => Err(LoadError::Panicked),
            Outcome::Aborted => Err(LoadError::Aborted),
        }
    }
}

pub(crate) fn overtaken(outcome: &Outcome, since: Generation) -> bool {
    matches!(outcome, Outcome::Loaded { slot, .. } if !slot.stamps.admit(since))
}

enum Ended {
    Brought(Brought),
    Failed(Anything),
    Panicked,
    Aborted,
}

/// The duty to end a flight: held by its task, done when it lands or is dropped.
struct Landing {
    tiers: Arc<Tiers>,
    class: Arc<Class>,
    key: Key,
    flight: Arc<Flight>,
    started: Duration,
    landed: bool,
}

impl Landing {
    fn new(tiers: Arc<Tiers>, class: Arc<Class>, key: &Key, flight: &Arc<Flight>) -> Self {
        let started = tiers.clock.precise();
        Self { tiers, class, key: key.clone(), flight: Arc::clone(flight), started, landed: false }
    }

    fn land(mut self, ended: Ended) {
        self.settle(ended);
    }

    fn settle(&mut self, ended: Ended) {
        let mut elapsed = Some(self.tiers.clock.precise().saturating_sub(self.started));
        let mut inserted = Inserted::default();
        let (outcome, result) = match ended {
            Ended::Brought(brought) => {
                let source = brought.source;
                elapsed = brought.loaded_in;
                let (slot, filled) = self.fill(brought);
                let stored = filled.stored;
                inserted = filled;
                let result = if stored { LoadResult::Stored } else { LoadResult::NotStored };
                (Outcome::Loaded { slot, stored, source }, result)
            }
            Ended::Failed(error) => (self.leave_without(Outcome::Failed(error)), LoadResult::Failed),
            Ended::Panicked => (self.leave_without(Outcome::Panicked), LoadResult::Panicked),
            Ended::Aborted => (self.leave_without(Outcome::Aborted), LoadResult::Aborted),
        };
        if !matches!(result, LoadResult::Stored | LoadResult::NotStored) {
            self.class.counters.add(Count::LoadFailure);
        }
        self.flight.end(outcome);
        self.landed = true;
        // The observer comes last: if it panics, the waiters are free already.
        self.tiers.report_evicted(&self.key, &inserted);
        // What L2 had was not loaded.
        if let Some(elapsed) = elapsed {
            self.tiers.notify(&Event::Loaded { class: self.class.ttl.name(), key: &self.key, elapsed, result });
        }
    }

    fn fill(&self, brought: Brought) -> (Slot, Inserted) {
        let (tiers, key, may_keep) = (&self.tiers, &self.key, brought.may_keep);
        // Another process's change, noticed since L2 was last asked, would find nothing to drop.
        #[cfg(feature = "redis")]
        let (mark, noticed) = (brought.mark, brought.mark.map(|mark| mark.noticed));
        #[cfg(feature = "redis")]
        let is_undisturbed = || noticed.is_none_or(|noticed| noticed == self.flight.noticed());
        #[cfg(not(feature = "redis"))]
        let is_undisturbed = || true;
        let slot = tiers.slot(
            key,
            &self.class,
            self.flight.since,
            brought.parcel,
            #[cfg(feature = "redis")]
            mark,
        );
        let fill = |may_fill| {
            if may_fill && may_keep && is_undisturbed() { tiers.fill(key, slot.clone()) } else { Inserted::default() }
        };
        let inserted = tiers.flights.leave(key, &self.flight, fill);
        (slot, inserted)
    }

    fn leave_without(&self, outcome: Outcome) -> Outcome {
        let resume = self.tiers.clock.now().saturating_add(PAUSE);
        self.tiers.flights.leave(&self.key, &self.flight, |may_fill| {
            if may_fill {
                self.tiers.memory.postpone_refresh(&self.key, resume);
            }
        });
        outcome
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.landed {
            self.settle(Ended::Aborted);
        }
    }
}
