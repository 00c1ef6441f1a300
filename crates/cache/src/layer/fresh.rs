//! A load that a stale value doesn't answer.

use std::future::Future;

use tokio::runtime::Handle;

use crate::class::Count;
use crate::fill::Fill;
use crate::flight::Entered;
use crate::key::Key;
use crate::load::overtaken;
use crate::read::{LoadError, Read, Source};
use crate::slot::State;
use crate::typed::{TypedCache, open};

impl<V: Send + Sync + 'static> TypedCache<V> {
    /// As `load`, but waits for a fresh value where there is only a stale one.
    pub(super) async fn load_fresh<E, F, Fut>(&self, key: &Key, loader: F) -> Result<Read<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return Err(LoadError::NoRuntime) };
        let fresh = |(slot, state)| match state {
            State::Fresh(left) => open::<V>(slot).map(|value| (value, left)),
            _ => None,
        };
        let arrived = self.cache.tiers.fence.now();
        loop {
            match self.enter::<E, _>(key, || self.cache.tiers.peek(key).and_then(fresh)) {
                Entered::Found((value, fresh_for)) => {
                    return Ok(Read { value, source: Source::Collapsed, fresh_for, stored: true });
                }
                Entered::Started(flight) => {
                    self.launch(&runtime, key, &flight, loader);
                    return self.answer(flight.outcome().await, None);
                }
                Entered::Joined(flight) => {
                    self.class.counters.add(Count::Collapsed);
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
