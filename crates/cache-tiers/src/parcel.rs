//! Values on their way into the cache, of any type.

use std::time::Duration;

use crate::fill::Keep;
use crate::l2::Mark;
use crate::read::Source;
use crate::slot::Anything;
use crate::tag::Tag;

/// A value on its way in, of any type.
pub struct Parcel {
    pub(crate) value: Anything,
    pub(crate) tags: Vec<Tag>,
    pub(crate) ttl: Option<Duration>,
    /// Whether it states that there is no value.
    pub(crate) is_negative: bool,
    pub keep: Keep,
    /// Its grace in L2, if it came from there.
    pub(crate) grace: Option<Duration>,
    pub(crate) bytes: usize,
    /// Duration of a load of it, as far as known.
    pub cost: Option<Duration>,
}

/// Result of a miss in L1.
pub struct Brought {
    pub parcel: Parcel,
    pub source: Source,
    /// Whether L1 may keep it, as far as L2 knows.
    pub may_keep: bool,
    /// Duration of the loader, if it ran.
    pub loaded_in: Option<Duration>,
    pub mark: Option<Mark>,
}

impl Brought {
    /// Returns the notices of its flight when this was known to be the value of the key.
    pub fn noticed(&self) -> u64 {
        Mark::noticed(self.mark)
    }

    /// Creates a loaded value that L1 may keep and that L2 does not have.
    pub fn loaded(mut parcel: Parcel, loaded_in: Duration) -> Self {
        parcel.cost = Some(loaded_in);
        Self { parcel, source: Source::Loaded, may_keep: true, loaded_in: Some(loaded_in), mark: None }
    }

    /// Creates a loaded value that L1 may keep if L2 has it: with a mark.
    pub fn stored(parcel: Parcel, loaded_in: Duration, mark: Option<Mark>) -> Self {
        Self { may_keep: mark.is_some(), mark, ..Self::loaded(parcel, loaded_in) }
    }

    /// Creates a value that was loaded for the waiting callers, and is kept in no tier.
    pub fn of_nowhere(parcel: Parcel, loaded_in: Duration, began: u64) -> Self {
        // As new as the notices that had come when its load began.
        let mark = Some(Mark { id: None, left: Duration::ZERO, noticed: began });
        Self { parcel, source: Source::Loaded, may_keep: false, loaded_in: Some(loaded_in), mark }
    }
}
