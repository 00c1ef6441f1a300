//! Who begins a load looks into L2 first, itself: only what is not found there at a glance is brought by a task.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::{Ended, Landing};
use crate::fill::Fill;
use crate::flight::Flight;
use crate::key::Key;
use crate::l2::{Glance, Glancing, L2};
use crate::read::Source;
use crate::tiered::{Brought, L2Left};
use crate::typed::{TypedCache, pack};

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// Whether a hit in L2 can be had without a task.
    pub(super) fn looks_first(&self) -> bool {
        self.form.codec.is_some() && self.cache.tiers.l2.as_ref().is_some_and(L2::may_glance)
    }

    /// Brings what L2 has, or has a task bring it. Others may have joined: should this caller leave, the task goes on for them.
    pub(super) async fn lead<E, F, Fut>(&self, runtime: &Handle, key: &Key, flight: &Arc<Flight>, loader: F)
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let (Some(l2), Some(codec)) = (&self.cache.tiers.l2, &self.form.codec) else { return };
        let go_on = |left| self.launch(runtime, key, flight, left, loader);
        let mut leader = Leader { glancing: l2.glancing(), go_on: Some(go_on) };
        // What user code may panic in, decoding and weighing, stands inside the catch.
        let glance = async {
            let Glance { fill, mark } = l2.glance(key, &self.class, &**codec, flight, &leader.glancing).await?;
            let mut parcel = pack(fill, self.form.weigh);
            parcel.cost = self.class.counters.last_load();
            let may_keep = mark.is_some();
            Some(Brought { parcel, source: Source::Shared, may_keep, loaded_in: None, mark })
        };
        let ended = match AssertUnwindSafe(glance).catch_unwind().await {
            Ok(Some(brought)) => Ended::Brought(brought),
            // Dropped, it goes on.
            Ok(None) => return,
            Err(_) => Ended::Panicked,
        };
        leader.go_on = None;
        Landing::new(Arc::clone(&self.cache.tiers), Arc::clone(&self.class), key, flight).land(ended);
    }
}

/// The duty to have the load made, unless it was found to be needless.
struct Leader<G: FnOnce(L2Left)> {
    glancing: Glancing,
    go_on: Option<G>,
}

impl<G: FnOnce(L2Left)> Drop for Leader<G> {
    fn drop(&mut self) {
        if let Some(go_on) = self.go_on.take() {
            go_on(L2Left::behind(self.glancing.left()));
        }
    }
}
