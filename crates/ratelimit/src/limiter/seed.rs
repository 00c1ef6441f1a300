//! What a limiter in memory takes over from Redis.

use crate::Timestamp;

/// A key's usage according to another source: `used` was charged at `date`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    pub(crate) used: u64,
    pub(crate) date: Timestamp,
}

/// Which part of a reply may be applied to a key.
#[cfg(feature = "redis")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learn {
    Nothing,
    /// Only a block in the reply. Not the absence of a block, and not the usage.
    Block,
    All,
}
