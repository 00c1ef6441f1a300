//! Semaphores: a limited number of holders at a time.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::acquire::Terms;
use crate::error::{AcquireError, StoreError};
use crate::fence::Fence;
use crate::hold::{Hold, LeaseOptions};
use crate::permit::{PermitStore, Place, PlaceKind};

/// A number of permits with a name, shared by all users of the same store.
///
/// A permit is held under a lease (10 s by default), which is renewed in the background as long as
/// the [`Permit`] exists. The permits of a process that died are free after the lease. Waiters are
/// served in the order of arrival. All users of a name should use the same number of permits; each
/// is limited to the number that it passes itself.
///
/// ```
/// use std::{num::NonZeroU32, sync::Arc, time::Duration};
/// use tidegate_sync::{MemoryStore, Semaphore};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let three = NonZeroU32::new(3).expect("not zero");
/// let exports = Semaphore::new(Arc::new(MemoryStore::new()), "exports", three);
/// let permit = exports.acquire(Duration::from_secs(5)).await?;
/// // at most three of all processes are here
/// permit.release().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Semaphore {
    terms: Terms,
}

impl Semaphore {
    /// Creates a handle for the semaphore `name`, which can be any text, in `store`.
    pub fn new(store: Arc<dyn PermitStore>, name: impl Into<String>, permits: NonZeroU32) -> Self {
        let place = Place { kind: PlaceKind::Semaphore, name: name.into() };
        let terms = Terms { store, place, permits: permits.get(), options: LeaseOptions::new() };
        Self { terms }
    }

    crate::hold::lease_builders!(terms.options);

    /// Acquires a permit if one is free and the queue is empty.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. If a permit was acquired nevertheless, it is released in
    /// the background.
    pub async fn try_acquire(&self) -> Result<Option<Permit>, StoreError> {
        let taken = self.terms.try_acquire().await?;
        Ok(taken.map(|(hold, fence)| Permit { hold, fence }))
    }

    /// Acquires a permit. Waits in the queue for at most `timeout`, plus the reply to one more
    /// command.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(&self, timeout: Duration) -> Result<Permit, AcquireError> {
        let (hold, fence) = self.terms.acquire(timeout).await?;
        Ok(Permit { hold, fence })
    }

    /// The name of the semaphore.
    pub fn name(&self) -> &str {
        &self.terms.place.name
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("name", &self.name())
            .field("permits", &self.terms.permits)
            .finish_non_exhaustive()
    }
}

/// A held permit. When it is dropped, it is released in the background.
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit {
    hold: Hold,
    fence: Fence,
}

impl Permit {
    /// The number of this acquisition: unique within the semaphore, and greater than all earlier
    /// ones.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Whether the permit is certainly held, see [`LockGuard::is_held`](crate::LockGuard::is_held).
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// Waits until the permit is lost.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }

    /// Extends the lease to its full duration from now. Returns whether the permit is still held.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    pub async fn extend(&self) -> Result<bool, StoreError> {
        self.hold.extend().await
    }

    /// Releases the permit and waits until that is done.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. The release is then retried in the background until the
    /// lease has ended.
    pub async fn release(self) -> Result<(), StoreError> {
        self.hold.release().await
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("fence", &self.fence).field("is_held", &self.is_held()).finish_non_exhaustive()
    }
}
