//! The load of a batch: one task and one loader call for all keys that no other caller loads.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tracing::{Instrument, Span};

use crate::handle::TypedCache;
use crate::load::{Ended, Landing};
use tidegate_cache_tiers::{
    Fill, Key, Source,
    bring::Halted,
    class::{Class, Count},
    fill::Keep,
    flight::Flight,
    form::{Form, pack},
    l2::{L2, News, Patience, Tickets},
    nested,
    parcel::Brought,
    text::Prehashed,
    tiers::Tiers,
};

/// A key that this batch loads.
pub(super) type Own = (Key, Arc<Flight>);

/// Work of a batch load.
pub(super) enum Errand<F> {
    /// Read L2, and no more.
    Look,
    /// The rest with one call of the loader.
    Load(F),
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// Loads all keys in a task that outlives its callers. Each flight lands once its value is
    /// known.
    pub(super) fn launch_many<E, F, Fut, I>(&self, runtime: &Handle, own: Vec<Own>, errand: Errand<F>)
    where
        E: Send + Sync + 'static,
        F: FnOnce(Vec<Key>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (Key, Fill<V>)> + Send + 'static,
    {
        let tiers = &self.cache.tiers;
        let landing = |(key, flight): &Own| Some(Landing::new(Arc::clone(tiers), Arc::clone(&self.class), key, flight));
        let landings = own.iter().map(landing).collect();
        let flights: Vec<Arc<Flight>> = own.iter().map(|(_, flight)| Arc::clone(flight)).collect();
        let (class, form) = (Arc::clone(&self.class), self.form.clone());
        let mut load = Load { landings, tiers: Arc::clone(tiers), class, form, own };
        let overdue_at = tiers.bell.in_real_time(self.class.ttl.limit());
        let span = Span::current();
        // A runtime that shuts down drops the task unpolled. Then the dropped landings report.
        let task = runtime.spawn(async move {
            // User code may panic: both the loader's call and the weighing are inside the catch.
            let ended = AssertUnwindSafe(load.run(errand).instrument(span)).catch_unwind().await;
            match ended {
                Ok(Ok(loaded_in)) => load.land_others(|| Ended::Absent(loaded_in)),
                Ok(Err(Halted::Failed(error))) => {
                    let error: Arc<dyn Any + Send + Sync> = Arc::new(error);
                    load.land_others(|| Ended::Failed(Arc::clone(&error)));
                }
                Ok(Err(Halted::Refused)) => load.land_others(|| Ended::Refused),
                Err(_) => load.land_others(|| Ended::Panicked),
            }
        });
        for flight in flights {
            flight.bound(overdue_at, task.abort_handle());
        }
        tiers.bell.look_at(overdue_at);
    }
}

struct Load<V> {
    tiers: Arc<Tiers>,
    class: Arc<Class>,
    form: Form<V>,
    own: Vec<Own>,
    /// `None` once it has landed.
    landings: Vec<Option<Landing>>,
}

/// Result for the keys at these indexes.
struct Filled<V> {
    places: Vec<usize>,
    fills: Vec<Fill<V>>,
    /// Keys without a value.
    absent: Vec<usize>,
    loaded_in: Duration,
    /// Number of notices that each flight had received when the loader was called.
    began: Vec<u64>,
    /// Whether each key had a value before.
    was_there: Vec<bool>,
}

impl<V: Send + Sync + 'static> Load<V> {
    /// Stores all results that have a value. Returns how long the loader took, if it ran.
    async fn run<E, F, Fut, I>(&mut self, errand: Errand<F>) -> Result<Option<Duration>, Halted<E>>
    where
        F: FnOnce(Vec<Key>) -> Fut + Send,
        Fut: Future<Output = Result<I, E>> + Send,
        I: IntoIterator<Item = (Key, Fill<V>)> + Send,
    {
        if let Some(l2) = self.tiers.l2.clone().filter(|_| self.form.codec.is_some()) {
            let mut patience = l2.patience_for(self.own.len());
            let will_load = matches!(errand, Errand::Load(_));
            let tickets = self.seek(&l2, will_load, &mut patience).boxed().await;
            let Errand::Load(loader) = errand else { return Ok(None) };
            let loading = self.load(loader);
            let loaded = match &tickets {
                Some(tickets) => tickets.renewed_during(loading).await,
                None => loading.await,
            };
            let Some(filled) = loaded? else { return Ok(None) };
            let loaded_in = filled.loaded_in;
            self.share(&l2, tickets, filled, &mut patience).boxed().await;
            return Ok(Some(loaded_in));
        }
        let Errand::Load(loader) = errand else { return Ok(None) };
        let mut before: Vec<_> = self.own.iter().map(|(key, _)| self.tiers.held_above_l2(key)).collect();
        let Some(Filled { places, fills, loaded_in, .. }) = self.load(loader).await? else { return Ok(None) };
        let uncached = places.iter().zip(&fills).filter(|(_, fill)| fill.keep == Keep::Nothing);
        let gone: Vec<_> = uncached.map(|(place, _)| (&self.own[*place].0, before[*place].take())).collect();
        self.tiers.tell_others_gone(gone).boxed().await;
        for (place, fill) in places.into_iter().zip(fills) {
            self.land(place, Brought::loaded(pack(fill, self.form.weigh), loaded_in));
        }
        Ok(Some(loaded_in))
    }

    /// Calls the loader with all keys that have no value yet. `None` if there are no such keys.
    async fn load<E, F, Fut, I>(&self, loader: F) -> Result<Option<Filled<V>>, Halted<E>>
    where
        F: FnOnce(Vec<Key>) -> Fut + Send,
        Fut: Future<Output = Result<I, E>> + Send,
        I: IntoIterator<Item = (Key, Fill<V>)> + Send,
    {
        let missing: Vec<usize> = (0..self.own.len()).filter(|place| self.landings[*place].is_some()).collect();
        let Some((first, others)) = missing.split_first() else { return Ok(None) };
        let (key, flight) = &self.own[*first];
        nested::end_with(flight, others.iter().map(|place| Arc::clone(&self.own[*place].1)));
        let keys = missing.iter().map(|place| self.own[*place].0.clone()).collect();
        let of_l2 = missing.iter().filter(|_| self.tiers.l2.is_some());
        let before: HashMap<usize, (u64, bool)> = of_l2.map(|place| (*place, self.before(*place))).collect();
        let (answer, loaded_in) = self
            .tiers
            .run_placed(key, &self.class, flight, || {
                // The first is counted already.
                others.iter().for_each(|_| self.class.counters.add(Count::Load));
                loader(keys)
            })
            .await?;
        if !self.class.ttl.eager(Some(loaded_in)).is_zero() {
            self.class.counters.took(loaded_in);
        }
        // The last one of a key counts.
        let mut brought: HashMap<Key, Fill<V>, Prehashed> = answer.into_iter().collect();
        let (mut places, mut fills) = (Vec::with_capacity(missing.len()), Vec::with_capacity(missing.len()));
        let absent = missing.iter().copied().filter(|place| !brought.contains_key(&self.own[*place].0)).collect();
        for place in missing {
            if let Some(mut fill) = brought.remove(&self.own[place].0) {
                self.tiers.settle(&self.class, &mut fill);
                places.push(place);
                fills.push(fill);
            }
        }
        let (began, was_there) = places.iter().map(|place| before.get(place).copied().unwrap_or_default()).unzip();
        Ok(Some(Filled { began, was_there, places, fills, absent, loaded_in }))
    }

    /// Number of notices that a flight has received, and whether the key is known to exist. An
    /// entry in L1 counts even if it is dead, because other processes may hold it as well.
    fn before(&self, place: usize) -> (u64, bool) {
        let (key, flight) = &self.own[place];
        (flight.inquiry.noticed(), flight.inquiry.past().is_some() || self.tiers.memory.peek(key).is_some())
    }

    /// Lands the results of L2 as soon as they are known.
    async fn seek(&mut self, l2: &Arc<L2>, will_load: bool, patience: &mut Patience) -> Option<Tickets> {
        let codec = self.form.codec.clone()?;
        let Self { tiers, class, form, own, landings } = self;
        let found = |place: usize, news: News<V>| match news {
            News::Found(fill, mark) => {
                let mut parcel = pack(fill, form.weigh);
                parcel.cost = class.counters.last_load();
                let may_keep = mark.is_some();
                let brought = Brought { parcel, source: Source::Shared, may_keep, loaded_in: None, mark };
                if let Some(landing) = landings.get_mut(place).and_then(Option::take) {
                    landing.land(Ended::Brought(brought));
                }
            }
            News::Stale(past) => tiers.fall_back_on(past, &own[place].0, class, form, &own[place].1, will_load),
        };
        let wanted: Vec<_> = own.iter().map(|(key, flight)| (key, &flight.inquiry)).collect();
        l2.seek_many(&wanted, class, &*codec, will_load, patience, found).await
    }

    /// Stores the loaded values in L2, and lands them.
    async fn share(&mut self, l2: &Arc<L2>, mut tickets: Option<Tickets>, filled: Filled<V>, patience: &mut Patience) {
        let Some(codec) = self.form.codec.clone() else { return };
        let Filled { places, fills, absent, loaded_in, began, was_there } = filled;
        if let Some(tickets) = &mut tickets {
            // Before the load ends: otherwise the next reader would find the value there again.
            l2.forget_absent(tickets, absent.iter().map(|place| &self.own[*place].0), patience).await;
        }
        let loaded = places.into_iter().zip(fills).zip(began.into_iter().zip(was_there));
        let (kept, uncached): (Vec<_>, Vec<_>) = loaded.partition(|((_, fill), _)| fill.keep == Keep::Value);
        let cleared: Vec<(Key, bool)> =
            uncached.iter().map(|((place, _), (_, was_there))| (self.own[*place].0.clone(), *was_there)).collect();
        l2.clear_many(&self.class, tickets.as_mut(), &cleared, patience).await;
        for ((place, fill), (began, _)) in uncached {
            self.land(place, Brought::of_nowhere(pack(fill, self.form.weigh), loaded_in, began));
        }
        let (loaded, began): (Vec<_>, Vec<u64>) = kept.into_iter().map(|(loaded, (began, _))| (loaded, began)).unzip();
        let (places, fills): (Vec<_>, Vec<_>) = loaded.into_iter().unzip();
        let wanted = places.iter().map(|place| &self.own[*place]);
        let wanted: Vec<_> = wanted.map(|(key, flight)| (key, &flight.inquiry)).collect();
        let marks = l2.fill_many(tickets, &self.class, &*codec, &wanted, (&fills, &began), patience).await;
        for ((place, fill), mark) in places.into_iter().zip(fills).zip(marks) {
            self.land(place, Brought::stored(pack(fill, self.form.weigh), loaded_in, mark));
        }
    }

    fn land(&mut self, place: usize, brought: Brought) {
        if let Some(landing) = self.landings[place].take() {
            landing.land(Ended::Brought(brought));
        }
    }

    fn land_others(self, ended: impl Fn() -> Ended) {
        for landing in self.landings.into_iter().flatten() {
            // A panic while values are dropped must not keep the others from landing.
            drop(catch_unwind(AssertUnwindSafe(|| landing.land(ended()))));
        }
    }
}
