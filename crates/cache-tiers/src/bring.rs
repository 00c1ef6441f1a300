//! The work of a load in its task: it queries L2, else runs the loader, and fills L2.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::class::{Class, Count};
use crate::event::Event;
use crate::fill::{Fill, Keep};
use crate::flight::Flight;
use crate::form::{Form, pack};
use crate::key::Key;
use crate::l2::{Debt, Patience, Sought};
use crate::nested;
use crate::parcel::Brought;
use crate::places::Full;
use crate::read::Source;
use crate::slot::Anything;
use crate::tiers::Tiers;

/// Time that a load may still spend on L2 after the glance of its caller.
#[derive(Default)]
pub struct L2Left(Option<Patience>);

impl L2Left {
    pub fn behind(glance: Patience) -> Self {
        Self(Some(glance))
    }
}

/// Reason why a load returned nothing.
pub enum Halted<E> {
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

impl Tiers {
    /// Returns the value that L1 does not have: from L2, else from the loader, which then fills L2.
    pub async fn bring<V, E, F, Fut>(
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
        if let (Some(l2), Some(codec)) = (&self.l2, &form.codec) {
            let codec = &**codec;
            let has_glanced = left.0.is_some();
            let mut patience = left.0.unwrap_or_else(|| l2.patience());
            let mut sought = l2.seek(key, class, codec, &flight.inquiry, has_glanced, &mut patience).boxed().await;
            let mut was_there = flight.inquiry.past().is_some();
            if let Sought::Stale(past) = sought {
                was_there = true;
                let id = past.id;
                self.fall_back_on(past, key, class, form, flight, true);
                sought = l2.seek_newer(key, class, codec, &flight.inquiry, id, &mut patience).boxed().await;
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
                        flight.inquiry.lacks_l2();
                    }
                    ticket
                }
            };
            let began = flight.inquiry.noticed();
            // Dead or not: if L1 holds a value, others may hold one too.
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
                // If a ticket is left, its fence is given back.
                return Ok(Brought::of_nowhere(pack(fill, form.weigh), loaded_in, began));
            }
            let mark = l2.fill(ticket, class, codec, &fill, (&flight.inquiry, began), &mut patience).boxed().await;
            return Ok(Brought::stored(pack(fill, form.weigh), loaded_in, mark));
        }
        let before = self.held_above_l2(key);
        let (fill, loaded_in) = self.run(key, class, flight, loader).await?;
        if fill.keep == Keep::Nothing {
            self.tell_others_gone([(key, before)]).boxed().await;
        }
        Ok(Brought::loaded(pack(fill, form.weigh), loaded_in))
    }

    /// Runs the loader once it has a permit. Returns its result and its duration.
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

    /// Runs a loader, of one key or of a batch that begins with it, once it has a permit.
    pub async fn run_placed<T, E, F, Fut>(
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
        // The permit of the class first: a load that waits for it takes no common permit yet.
        let mut held = Vec::new();
        for places in class.places.as_deref().into_iter().chain(&self.places) {
            held.extend(places.enter(flight, in_line).await?);
        }
        class.counters.add(Count::Load);
        let started = self.clock.now();
        let loaded = nested::within(flight, async move { loader().await }).await;
        drop(held);
        Ok((loaded.map_err(Halted::Failed)?, self.clock.now().saturating_sub(started)))
    }

    /// Returns the value of L1 for a key whose handle has no form for L2, if there is an L2.
    pub fn held_above_l2(&self, key: &Key) -> Option<Anything> {
        self.l2.as_ref()?;
        self.memory.peek(key).map(|slot| slot.value)
    }

    /// Notifies other processes that these keys must not be kept. It does so only for keys of which
    /// L1 still holds the value from before the load. For a key that L1 did not hold it sends
    /// nothing to Redis. A value that was stored meanwhile stays.
    pub async fn tell_others_gone(&self, before: impl IntoIterator<Item = (&Key, Option<Anything>)>) {
        let Some(l2) = &self.l2 else { return };
        let is_there =
            |key: &Key, before: &Anything| self.memory.peek(key).is_some_and(|slot| Arc::ptr_eq(&slot.value, before));
        let gone =
            before.into_iter().filter(|(key, before)| before.as_ref().is_some_and(|before| is_there(key, before)));
        let gone = gone.map(|(key, _)| Debt::Key(key.clone())).collect();
        // An invalidation that fails is owed.
        drop(l2.invalidate(gone).await);
    }
}
