//! The load of a batch: one task and one loader call for all keys that nobody else loads.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use crate::class::{Class, Count};
use crate::fill::Fill;
use crate::flight::Flight;
use crate::key::Key;
use crate::load::{Ended, Landing};
use crate::nested;
use crate::read::Source;
use crate::tiered::{Brought, Halted, Tiers};
use crate::typed::{Form, TypedCache, pack};

/// A key that this batch loads.
pub(super) type Own = (Key, Arc<Flight>);

/// What there is to bring.
pub(super) enum Errand<F> {
    /// What L2 has, and no more.
    Look,
    /// The rest with one call of the loader.
    Load(F),
}

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// Brings all keys in a task of its own, which outlives its callers. Each flight lands as soon as its value is known.
    pub(super) fn launch_many<E, F, Fut, I>(&self, runtime: &Handle, own: Vec<Own>, errand: Errand<F>)
    where
        E: Send + Sync + 'static,
        F: FnOnce(Vec<Key>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (Key, Fill<V>)> + Send + 'static,
    {
        let (tiers, class, form) = (Arc::clone(&self.cache.tiers), Arc::clone(&self.class), self.form.clone());
        let landings = own.iter().map(|(key, flight)| {
            Some(Landing::new(Arc::clone(&self.cache.tiers), Arc::clone(&self.class), key, flight))
        });
        let flights: Vec<Arc<Flight>> = own.iter().map(|(_, flight)| Arc::clone(flight)).collect();
        let overdue_at = self.cache.tiers.bell.in_real_time(self.class.ttl.limit());
        let mut load = Load { landings: landings.collect(), tiers, class, form, own };
        // A runtime that is shutting down drops the task unpolled, and with it the landings, which then report.
        let task = runtime.spawn(async move {
            // What user code may panic in, the call of the loader and the weighing included, stands inside the catch.
            let ended = AssertUnwindSafe(load.run(errand)).catch_unwind().await;
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
        for flight in &flights {
            flight.bound(overdue_at, task.abort_handle());
        }
        self.cache.tiers.bell.look_at(overdue_at);
    }
}

struct Load<V> {
    tiers: Arc<Tiers>,
    class: Arc<Class>,
    form: Form<V>,
    own: Vec<Own>,
    /// None where it has landed.
    landings: Vec<Option<Landing>>,
}

impl<V: Send + Sync + 'static> Load<V> {
    /// Lands all that has a value; tells how long the loader took, if it ran.
    async fn run<E, F, Fut, I>(&mut self, errand: Errand<F>) -> Result<Option<Duration>, Halted<E>>
    where
        F: FnOnce(Vec<Key>) -> Fut + Send,
        Fut: Future<Output = Result<I, E>> + Send,
        I: IntoIterator<Item = (Key, Fill<V>)> + Send,
    {
        #[cfg(feature = "redis")]
        let tiers = Arc::clone(&self.tiers);
        #[cfg(feature = "redis")]
        let codec = self.form.codec.clone();
        #[cfg(feature = "redis")]
        let l2 = tiers.l2.as_ref().zip(codec.as_deref());
        #[cfg(feature = "redis")]
        let (mut patience, mut tickets) = (l2.map(|(l2, _)| l2.patience_for(self.own.len())), None);
        #[cfg(feature = "redis")]
        if let (Some((l2, codec)), Some(patience)) = (l2, &mut patience) {
            let Self { class, form, own, landings, .. } = self;
            let will_load = matches!(errand, Errand::Load(_));
            let found = |index: usize, fill, mark: Option<crate::l2::Mark>| {
                let parcel = pack(fill, form.weigh);
                let may_keep = mark.is_some();
                let brought = Brought { parcel, source: Source::Shared, may_keep, loaded_in: None, mark };
                if let Some(landing) = landings.get_mut(index).and_then(Option::take) {
                    landing.land(Ended::Brought(brought));
                }
            };
            tickets = l2.seek_many(own, class, codec, will_load, patience, found).boxed().await;
        }
        let Errand::Load(loader) = errand else { return Ok(None) };
        let missing: Vec<usize> = (0..self.own.len()).filter(|index| self.landings[*index].is_some()).collect();
        let Some((first, others)) = missing.split_first() else { return Ok(None) };
        let (key, flight) = &self.own[*first];
        nested::end_with(flight, others.iter().map(|index| Arc::clone(&self.own[*index].1)));
        let keys = missing.iter().map(|index| self.own[*index].0.clone()).collect();
        let (answer, loaded_in) = self.tiers.run_placed(key, &self.class, flight, || loader(keys)).await?;
        // The first was counted as it began.
        others.iter().for_each(|_| self.class.counters.add(Count::Load));
        let loaded_in = Some(loaded_in);
        let (indexes, mut fills) = self.sorted(missing, answer);
        fills.iter_mut().for_each(|fill| self.tiers.settle(&self.class, fill));
        #[cfg(feature = "redis")]
        let marks: Vec<_> = match (l2, &mut patience) {
            (Some((l2, codec)), Some(patience)) => {
                let wanted: Vec<_> = indexes.iter().map(|index| self.own[*index].clone()).collect();
                let filled = l2.fill_many(tickets, &self.class, codec, &wanted, &fills, patience);
                filled.boxed().await.into_iter().map(|mark| (mark.is_some(), mark)).collect()
            }
            _ => fills.iter().map(|_| (true, None)).collect(),
        };
        #[cfg(not(feature = "redis"))]
        let marks: Vec<_> = fills.iter().map(|_| (true, ())).collect();
        for ((index, fill), (may_keep, mark)) in indexes.into_iter().zip(fills).zip(marks) {
            #[cfg(not(feature = "redis"))]
            let () = mark;
            let brought = Brought {
                parcel: pack(fill, self.form.weigh),
                source: Source::Loaded,
                may_keep,
                loaded_in,
                #[cfg(feature = "redis")]
                mark,
            };
            if let Some(landing) = self.landings[index].take() {
                landing.land(Ended::Brought(brought));
            }
        }
        Ok(loaded_in)
    }

    /// What the loader brought of the keys that it was asked for, with their places. The last one of a key counts.
    fn sorted(
        &self,
        missing: Vec<usize>,
        answer: impl IntoIterator<Item = (Key, Fill<V>)>,
    ) -> (Vec<usize>, Vec<Fill<V>>) {
        let mut brought: std::collections::HashMap<Key, Fill<V>, crate::text::Prehashed> = answer.into_iter().collect();
        missing.into_iter().filter_map(|index| Some((index, brought.remove(&self.own[index].0)?))).unzip()
    }

    fn land_others(self, ended: impl Fn() -> Ended) {
        for landing in self.landings.into_iter().flatten() {
            landing.land(ended());
        }
    }
}
