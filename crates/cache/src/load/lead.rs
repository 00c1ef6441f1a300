//! The caller that begins a load queries L2 itself first. A task runs only if that finds nothing.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::landing::{Ended, Landing};
use crate::handle::TypedCache;
use tidegate_cache_tiers::{
    Fill, Key, Source,
    bring::L2Left,
    flight::Flight,
    form::pack,
    l2::{Glance, L2},
    parcel::Brought,
};

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// Whether a hit in L2 can be had without a task.
    pub(super) fn looks_first(&self) -> bool {
        self.form.codec.is_some() && self.cache.tiers.l2.as_ref().is_some_and(L2::may_glance)
    }

    /// Returns the value of L2, or starts a task that does. The task starts if the first query
    /// finds nothing, if another caller joins meanwhile, and if this caller leaves.
    pub(super) async fn lead<E, F, Fut>(&self, runtime: &Handle, key: &Key, flight: &Arc<Flight>, loader: F)
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let (Some(l2), Some(codec)) = (&self.cache.tiers.l2, &self.form.codec) else { return };
        let glancing = l2.glancing();
        let go_on = {
            let (this, glancing) = (self.clone(), glancing.clone());
            let (runtime, key, flight) = (runtime.clone(), key.clone(), Arc::clone(flight));
            move || this.launch(&runtime, &key, &flight, L2Left::behind(glancing.left()), loader)
        };
        if !flight.lead(Box::new(go_on)) {
            return;
        }
        let leader = Leader(flight);
        // Decoding and weighing are inside the catch, because user code may panic there.
        let glance = async {
            let Glance { fill, mark } = l2.glance(key, &self.class, &**codec, &flight.inquiry, &glancing).await?;
            let mut parcel = pack(fill, self.form.weigh);
            parcel.cost = self.class.counters.last_load();
            let may_keep = mark.is_some();
            Some(Brought { parcel, source: Source::Shared, may_keep, loaded_in: None, mark })
        };
        let ended = match AssertUnwindSafe(glance).catch_unwind().await {
            Ok(Some(brought)) => Ended::Brought(brought),
            Ok(None) => return drop(leader),
            Err(_) => Ended::Panicked,
        };
        // If another caller has it made, that one counts.
        if flight.take_duty().is_some() {
            Landing::new(Arc::clone(&self.cache.tiers), Arc::clone(&self.class), key, flight).land(ended);
        }
    }
}

/// A caller that queries on its own. When dropped, a task does what no other caller does.
struct Leader<'a>(&'a Flight);

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if let Some(go_on) = self.0.take_duty() {
            go_on();
        }
    }
}
