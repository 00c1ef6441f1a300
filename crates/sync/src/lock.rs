//! Locks: one holder at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::acquire::Terms;
use crate::error::{AcquireError, StoreError};
use crate::fence::Fence;
use crate::hold::{Hold, LeaseOptions};
use crate::permit::{PermitStore, Place, PlaceKind};

/// A lock with a name, held by one holder at a time among all users of the same store.
///
/// It is held under a lease, 10 s by default, which is renewed in the background as long as the
/// [`LockGuard`] exists. A holder that dies keeps it for at most one lease. Waiters get it in the
/// order in which they arrived. A waiter that dies delays the others by at most 1.5 s.
///
/// Without contention, lock and unlock cost one round trip each.
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
///     () = guard.lost() => println!("another process may pay now"),
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
    /// Creates a handle for the lock `name`, which can be any text, in `store`.
    pub fn new(store: Arc<dyn PermitStore>, name: impl Into<String>) -> Self {
        let place = Place { kind: PlaceKind::Lock, name: name.into() };
        Self { terms: Terms { store, place, permits: 1, options: LeaseOptions::new() } }
    }

    crate::hold::lease_builders!(terms.options);

    /// Acquires the lock if it is free and the queue is empty.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. If the lock was acquired nevertheless, it is released in
    /// the background.
    pub async fn try_acquire(&self) -> Result<Option<LockGuard>, StoreError> {
        let taken = self.terms.try_acquire().await?;
        Ok(taken.map(|(hold, fence)| LockGuard { hold, fence }))
    }

    /// Acquires the lock. Waits in the queue for at most `timeout`, plus the reply to one more
    /// command.
    ///
    /// While the store is unavailable, it retries until then. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(&self, timeout: Duration) -> Result<LockGuard, AcquireError> {
        let (hold, fence) = self.terms.acquire(timeout).await?;
        Ok(LockGuard { hold, fence })
    }

    /// The name of the lock.
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

/// A held lock. When it is dropped, it is released in the background. While the store is
/// unavailable, the release is retried until the lease has ended.
#[must_use = "the lock is released when its guard is dropped"]
pub struct LockGuard {
    hold: Hold,
    fence: Fence,
}

impl LockGuard {
    /// The fencing token, greater than that of every earlier holder.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Whether the lock is certainly held. Computed with this machine's monotonic clock from before
    /// the request, so it becomes false before the store grants the lock to another holder. Costs
    /// no round trip.
    ///
    /// An action after this call may still be too late: a process can be suspended between any two
    /// instructions.
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// Remaining time of the lease without a renewal. Zero if the lock was lost.
    pub fn remaining(&self) -> Duration {
        self.hold.remaining()
    }

    /// Waits until the lock is lost: it could not be renewed in time, or the store reports the
    /// loss. A lost lock does not come back.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }

    /// Extends the lease to its full duration from now. Returns whether the lock is still held.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. The lock is then held for the
    /// [remaining](Self::remaining) time.
    pub async fn extend(&self) -> Result<bool, StoreError> {
        self.hold.extend().await
    }

    /// Releases the lock and waits until that is done.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. The release is then retried in the background until the
    /// lease has ended.
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
