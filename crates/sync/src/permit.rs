//! What a store does for locks and semaphores: a lock is a semaphore of one permit.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::fence::Fence;

/// What permits are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// A lock and a semaphore of one name are two places.
    pub kind: PlaceKind,
    /// Its name; any text.
    pub name: String,
}

/// Whether a place has one permit or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlaceKind {
    /// One permit.
    Lock,
    /// Several.
    Semaphore,
}

/// A request for a permit.
#[derive(Clone, Copy, Debug)]
pub struct Acquire<'a> {
    /// Where.
    pub place: &'a Place,
    /// Permits there are in all.
    pub permits: u32,
    /// Who; a token that no other attempt has.
    pub owner: &'a str,
    /// How long the permit is held unless extended.
    pub lease: Duration,
    /// How long a place in the queue lasts unless the request is repeated; without it nobody queues.
    pub queue: Option<Duration>,
}

/// The answer to [`Acquire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// The permit is the owner's.
    Granted(Fence),
    /// It is not.
    Busy {
        /// How many others get one first.
        ahead: u64,
        /// When the next lease ends, unless extended.
        free_in: Duration,
    },
}

/// A store of permits. Each method is one atomic step, on the store's own clock, and may be repeated with the same owner:
/// nobody gets two permits by it.
#[async_trait]
pub trait PermitStore: Send + Sync + 'static {
    /// Takes a permit if one is free for this owner: those who queue go first, in the order in which they came. An owner
    /// that has one gets it renewed, under a new fencing token.
    ///
    /// # Errors
    /// A failing store.
    async fn acquire(&self, request: Acquire<'_>) -> Result<Acquired, StoreError>;

    /// Extends a permit to `lease` from now. Returns whether it was still held.
    ///
    /// # Errors
    /// A failing store.
    async fn extend(&self, place: &Place, owner: &str, lease: Duration) -> Result<bool, StoreError>;

    /// Gives back the permit and the place in the queue, if there are any.
    ///
    /// # Errors
    /// A failing store.
    async fn release(&self, place: &Place, owner: &str) -> Result<(), StoreError>;

    /// Waits until it is worth to ask again, at most that long.
    async fn wait(&self, place: &Place, owner: &str, at_most: Duration);
}
