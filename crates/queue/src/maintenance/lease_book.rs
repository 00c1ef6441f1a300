//! The leases this worker holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::Monotonic;
use crate::lease::LeaseToken;

/// Why a run was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    LeaseLost,
    Cancelled,
    TimedOut,
    Shutdown,
}

/// The first reason to stop a run, or `None` where it ended before there was one.
type FirstReason = Arc<OnceLock<Option<StopReason>>>;

#[derive(Clone)]
struct Held {
    queue: Arc<str>,
    cancel: CancellationToken,
    reason: FirstReason,
    renewed: Monotonic,
}

/// The leases this worker holds. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct LeaseBook(Arc<Mutex<HashMap<LeaseToken, Held>>>);

impl LeaseBook {
    fn lock(&self) -> MutexGuard<'_, HashMap<LeaseToken, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a lease that was good at `renewed`.
    pub(crate) fn hold(
        &self,
        token: LeaseToken,
        queue: Arc<str>,
        cancel: CancellationToken,
        renewed: Monotonic,
    ) -> HeldLease {
        let held = Held { queue, cancel, reason: Arc::default(), renewed };
        self.lock().insert(token.clone(), held.clone());
        HeldLease { book: self.clone(), token, cancel: held.cancel, reason: held.reason }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn by_queue(&self) -> HashMap<Arc<str>, Vec<LeaseToken>> {
        let mut by_queue: HashMap<Arc<str>, Vec<LeaseToken>> = HashMap::new();
        for (token, held) in &*self.lock() {
            by_queue.entry(held.queue.clone()).or_default().push(token.clone());
        }
        by_queue
    }

    pub(super) fn renewed(&self, tokens: &[LeaseToken], at: Monotonic) {
        let mut book = self.lock();
        for token in tokens {
            if let Some(held) = book.get_mut(token) {
                held.renewed = at;
            }
        }
    }

    /// Tells a run to stop. Returns whether it was under way and this is the first reason it was given.
    pub(super) fn stop(&self, token: &LeaseToken, reason: StopReason) -> bool {
        let Some(held) = self.lock().get(token).cloned() else { return false };
        let first = held.reason.set(Some(reason)).is_ok();
        held.cancel.cancel();
        first
    }
}

/// A lease in the book, and so renewed, for as long as this lives: from its fetch, before the run has
/// its first turn, until the broker has answered its settlement.
pub(crate) struct HeldLease {
    book: LeaseBook,
    token: LeaseToken,
    cancel: CancellationToken,
    reason: FirstReason,
}

impl HeldLease {
    pub(crate) fn token(&self) -> &LeaseToken {
        &self.token
    }

    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    pub(crate) fn stop(&self, reason: StopReason) {
        self.book.stop(&self.token, reason);
    }

    /// Ends the run: a reason to stop it that comes later is no news. Returns the one that came first.
    pub(crate) fn end_run(&self) -> Option<StopReason> {
        *self.reason.get_or_init(|| None)
    }

    /// When the lease was last known to be good.
    pub(crate) fn renewed(&self) -> Monotonic {
        self.book.lock().get(&self.token).map_or_else(Monotonic::now, |held| held.renewed)
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.book.lock().remove(&self.token);
    }
}
