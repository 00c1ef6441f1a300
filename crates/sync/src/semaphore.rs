//! At most so many holders at a time.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::acquire::Terms;
use crate::error::{AcquireError, StoreError};
use crate::fence::Fence;
use crate::hold::{Hold, LeaseOptions};
use crate::permit::{PermitStore, Place, PlaceKind};

/// A number of permits under a name, shared by all that use the same store.
///
/// A permit is held under a lease (10 s unless told otherwise), renewed in the background while the [`Permit`] lives: those
/// of a process that died come back after it. Who waits is served in the order of arrival. All users of a name should agree
/// on the number of permits; each is held to the number that it states itself.
///
/// ```
/// use std::{num::NonZeroU32, sync::Arc, time::Duration};
/// use tidegate_sync::{MemoryStore, Semaphore};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let exports = Semaphore::new(Arc::new(MemoryStore::new()), "exports", NonZeroU32::new(3).expect("not zero"));
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
    /// The semaphore of that name, any text, in `store`.
    pub fn new(store: Arc<dyn PermitStore>, name: impl Into<String>, permits: NonZeroU32) -> Self {
        let place = Place { kind: PlaceKind::Semaphore, name: name.into() };
        let terms = Terms { store, place, permits: permits.get(), options: LeaseOptions::new() };
        Self { terms }
    }

    crate::hold::lease_builders!(terms.options);

    /// Takes a permit if one is free that nobody queues for.
    ///
    /// # Errors
    /// A failing store. If a permit was taken all the same, it is given back in the background.
    pub async fn try_acquire(&self) -> Result<Option<Permit>, StoreError> {
        let taken = self.terms.try_acquire().await?;
        Ok(taken.map(|(hold, fence)| Permit { hold, fence }))
    }

    /// Takes a permit, waiting in the queue for at most `timeout`, and for the reply to one more command than that.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(&self, timeout: Duration) -> Result<Permit, AcquireError> {
        let (hold, fence) = self.terms.acquire(timeout).await?;
        Ok(Permit { hold, fence })
    }

    /// Its name.
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

/// A permit is held. Dropped, it is given back in the background.
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit {
    hold: Hold,
    fence: Fence,
}

impl Permit {
    /// The number of this acquisition: no two of one semaphore have the same, later ones have greater.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Whether it is certain to be held, as [`LockGuard::is_held`](crate::LockGuard::is_held).
    pub fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        self.hold.lost().await;
    }

    /// Extends it to one lease from now. Returns whether it is still held.
    ///
    /// # Errors
    /// A failing store.
    pub async fn extend(&self) -> Result<bool, StoreError> {
        self.hold.extend().await
    }

    /// Gives it back and waits until that is done.
    ///
    /// # Errors
    /// A failing store; the background goes on trying until the lease has ended.
    pub async fn release(self) -> Result<(), StoreError> {
        self.hold.release().await
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("fence", &self.fence).field("is_held", &self.is_held()).finish_non_exhaustive()
    }
}
