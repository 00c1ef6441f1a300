//! What L1 holds under a key.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::class::ClassId;
use crate::fence::{Fence, Generation};
#[cfg(feature = "redis")]
use crate::l2::EntryId;
use crate::tag_table::Stamps;

/// A value of any type.
pub(crate) type Anything = Arc<dyn Any + Send + Sync>;

/// A value and what decides whether it may be served. Plain fields, so that a read copies them and takes one count,
/// two with tags.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) value: Anything,
    pub(crate) stamps: Stamps,
    pub(crate) class: ClassId,
    /// When its load started, in the order of invalidations.
    pub(crate) since: Generation,
    pub(crate) fresh_until: Duration,
    pub(crate) stale_until: Duration,
    /// When a stale value may be loaded anew; later than `fresh_until` after a load that failed.
    pub(crate) refresh_from: Duration,
    pub(crate) weight: u64,
    /// The entry in L2 that holds the same value.
    #[cfg(feature = "redis")]
    pub(crate) shared: Option<EntryId>,
}

/// What a slot is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// To be served, for this much longer.
    Fresh(Duration),
    /// To be served, and loaded anew.
    Stale,
    /// To be served; a load failed a moment ago.
    StaleQuiet,
    /// For nothing.
    Dead,
}

impl Slot {
    pub(crate) fn state(&self, now: Duration, fence: &Fence) -> State {
        if now >= self.stale_until || !fence.admits(self.class, &self.stamps, self.since) {
            State::Dead
        } else if now < self.fresh_until {
            State::Fresh(self.fresh_until - now)
        } else if now >= self.refresh_from {
            State::Stale
        } else {
            State::StaleQuiet
        }
    }

    /// Whether both hold the very same value.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
    }
}
