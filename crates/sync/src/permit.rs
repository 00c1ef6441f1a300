//! The store of locks and semaphores: a lock is a semaphore with one permit.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::fence::Fence;

/// The name of a lock or a semaphore.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Its kind. A lock and a semaphore with the same name are independent.
    pub kind: PlaceKind,
    /// Its name, which can be any text.
    pub name: String,
}

/// Whether there is one permit or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlaceKind {
    /// One permit.
    Lock,
    /// Several permits.
    Semaphore,
}

/// A request for a permit.
#[derive(Clone, Copy, Debug)]
pub struct Acquire<'a> {
    /// The requested lock or semaphore.
    pub place: &'a Place,
    /// Total number of permits.
    pub permits: u32,
    /// Token of the owner, unique to this attempt.
    pub owner: &'a str,
    /// Duration for which the permit is held unless it is extended.
    pub lease: Duration,
    /// Duration for which a position in the queue is kept unless the request is repeated. `None` to
    /// not queue.
    pub queue: Option<Duration>,
}

/// The result of an [`Acquire`] request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// The owner has the permit.
    Granted(Fence),
    /// The owner does not have a permit.
    Busy {
        /// Number of owners that get one first.
        ahead: u64,
        /// Time until the next lease ends, unless it is extended.
        free_in: Duration,
    },
}

/// A store of permits. Each method is one atomic step, uses the store's own clock, and may be
/// repeated with the same owner without a second permit.
#[async_trait]
pub trait PermitStore: Send + Sync + 'static {
    /// Acquires a permit if one is free for this owner. Queued owners go first, in the order in
    /// which they arrived. If the owner already has one, the permit is renewed with a new fencing
    /// token.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn acquire(&self, request: Acquire<'_>) -> Result<Acquired, StoreError>;

    /// Extends a permit to `lease` from now. Returns whether it was still held.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn extend(&self, place: &Place, owner: &str, lease: Duration) -> Result<bool, StoreError>;

    /// Releases the permit and the position in the queue, if there are any.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    async fn release(&self, place: &Place, owner: &str) -> Result<(), StoreError>;

    /// Waits until a further request may succeed, for at most `at_most`.
    async fn wait(&self, place: &Place, owner: &str, at_most: Duration);
}
