//! Result of an invalidation that did not reach every tier.

use std::error::Error;

/// The invalidation is done in this process, but the shared tier could not be notified.
///
/// It is not lost: this process remembers it, keeps trying, and does not read the shared tier until
/// it has succeeded. **Other processes may read the old value from the shared tier until then, and
/// the guarantee ends with this process.** An invalidation that must survive a crash needs a second
/// way, such as a table that is written with the rows.
#[derive(Debug, thiserror::Error)]
#[error("an invalidation could not reach the shared tier and will be sent again: {reason}")]
#[non_exhaustive]
pub struct Owed {
    /// Number of live entries removed from L1, which the call would have returned.
    pub removed: usize,
    /// Reason of the failure.
    #[source]
    pub reason: Box<dyn Error + Send + Sync>,
}

impl Owed {
    #[doc(hidden)]
    pub fn new(removed: usize, reason: Box<dyn Error + Send + Sync>) -> Self {
        Self { removed, reason }
    }
}
