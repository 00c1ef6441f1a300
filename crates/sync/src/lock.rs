//! One holder at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::acquire::Terms;
use crate::error::{AcquireError, StoreError};
use crate::fence::Fence;
use crate::hold::{Hold, LeaseOptions};
use crate::permit::{PermitStore, Place, PlaceKind};

/// A lock of a name, held by one at a time among all that use the same store.
///
/// Held under a lease of 10 s unless told otherwise, which is renewed in the background for as long as the
/// [`LockGuard`] lives: a holder that dies holds it for one lease at most. Those who wait get it in the order in which they
/// came; one that died waiting holds the others up for at most 1.5 s.
///
/// Uncontended, lock and unlock cost one round trip each.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tidegate_sync::{Lock, MemoryStore};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = Lock::new(Arc::new(MemoryStore::new()), "payment:4711");
/// let guard = lock.acquire(Duration::from_secs(5)).await?;
/// tokio::select! {
///     () = pay(guard.fence()) => {}
///     () = guard.lost() => println!("somebody else may pay now"),
/// }
/// guard.release().await?;
/// # Ok(())
/// # }
/// # async fn pay(_: tidegate_sync::Fence) {}
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Lock {
    terms: Terms,
}

impl Lock {
    /// The lock of that name, any text, in `store`.
    pub fn new(store: Arc<dyn PermitStore>, name: impl Into<String>) -> Self {
        let place = Place { kind: PlaceKind::Lock, name: name.into() };
        Self { terms: Terms { store, place, permits: 1, options: LeaseOptions::new() } }
    }

    crate::hold::lease_builders!(terms.options);

    /// Takes it if it is free and nobody queues for it.
    ///
    /// # Errors
    /// A failing store. If the lock was taken all the same, it is given back in the background.
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>, StoreError> {
        let taken = self.terms.try_acquire().await?;
        Ok(taken.map(|(hold, fence)| LockGuard { hold, fence }))
    }

    /// Takes it, waiting in the queue for at most `timeout`, and for the reply to one more command than that.
    ///
    /// While the store is out it tries again until then. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(&self, timeout: Duration) -> Result<LockGuard, AcquireError> {
        let (hold, fence) = self.terms.acquire(timeout).await?;
        Ok(LockGuard { hold, fence })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.terms.place.name
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("name", &self.name())
            .field("lease", &self.terms.options.duration)
            .finish_non_exhaustive()
    }
}

/// The lock is held. Dropped, it is released in the background: tried again while the store is out, until the lease has
/// ended.
#[must_use = "the lock is released when its guard is dropped"]
pub struct LockGuard {
    hold: Hold,
    fence: Fence,
}

impl LockGuard {
    /// Greater than that of every earlier holder.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Whether it is certain to be held. Reckoned on this machine's monotonic clock from before the lock was asked for, so it
    /// turns false before the store lets anybody else in. Costs no round trip.
    ///
    /// What is done after the question may still come too late: a process can be suspended between any two instructions.
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// For how long it is held if the store is not heard of any more; zero when it was lost.
    pub fn remaining(&self) -> Duration {
        self.hold.remaining()
    }

    /// Waits until it is lost: because it could not be renewed in time, or because the store says so. Once lost it does not
    /// come back.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }

    /// Extends it to one lease from now. Returns whether it is still held.
    ///
    /// # Errors
    /// A failing store; it is held for what [remains](Self::remaining).
    pub async fn extend(&self) -> Result<bool, StoreError> {
        self.hold.extend().await
    }

    /// Releases it and waits until that is done.
    ///
    /// # Errors
    /// A failing store; the background goes on trying until the lease has ended.
    pub async fn release(self) -> Result<(), StoreError> {
        self.hold.release().await
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("fence", &self.fence)
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}
