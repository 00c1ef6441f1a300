//! A load that a stale value doesn't answer.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::class::Count;
use crate::fill::Fill;
use crate::flight::Entered;
use crate::key::Key;
use crate::load::overtaken;
use crate::nested;
use crate::read::{LoadError, Read, Source};
use crate::slot::State;
use crate::typed::{TypedCache, open};

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// As `load`, but waits for a fresh value where there is only a stale one. What L2 has that is stale comes only when the load
    /// fails, as [`Source::Stale`], if the class's soft time-out is as long as its loads.
    pub(super) async fn load_fresh<E, F, Fut>(&self, key: &Key, loader: F) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return Err(LoadError::NoRuntime) };
        let load = self.load_or_join_fresh(&runtime, key, loader);
        let Some(wait) = self.class.ttl.hard() else { return load.await };
        timeout(wait, load).await.unwrap_or_else(|_| {
            self.class.counters.add(Count::TimedOut);
            Err(LoadError::TimedOut)
        })
    }

    async fn load_or_join_fresh<E, F, Fut>(
        &self,
        runtime: &Handle,
        key: &Key,
        loader: F,
    ) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let fresh = |(slot, state)| match state {
            State::Fresh(left) | State::Waning(left) => open::<V>(slot).map(|value| (value, left)),
            _ => None,
        };
        let arrived = self.cache.tiers.fence.now();
        let mut waited = false;
        loop {
            match self.enter::<E, _>(key, || self.cache.tiers.peek(key).and_then(fresh), |_| true) {
                Entered::Found((value, fresh_for)) => {
                    return Ok(Read { value, source: Source::Collapsed, fresh_for, stored: true });
                }
                Entered::Started(flight) => {
                    self.launch(runtime, key, &flight, loader);
                    let _waiting = nested::wait_for(&flight)?;
                    return self.answer(flight.outcome().await, None);
                }
                Entered::Joined(flight) => {
                    if !std::mem::replace(&mut waited, true) {
                        self.class.counters.add(Count::Collapsed);
                    }
                    let _waiting = nested::wait_for(&flight)?;
                    let outcome = flight.outcome().await;
                    // As in `load`: a tag of it may have been invalidated before this caller came.
                    if flight.since >= arrived || !overtaken(outcome, flight.since) {
                        return self.answer(outcome, Some(Source::Collapsed));
                    }
                }
            }
        }
    }
}
