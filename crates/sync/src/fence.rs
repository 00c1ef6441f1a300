//! The number that tells an old holder from a new one.

use std::fmt;

/// A fencing token: every acquisition of one name has a greater one than those before it.
///
/// Give it with every write that the lock protects, and have the place that is written to refuse a token below the
/// highest that it has seen. A lock alone can't stop a holder that was suspended, has lost its lease and does not know it
/// yet; the token can. [`Ledger`](crate::Ledger) checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// The token of that number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, below 2^53.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
