//! Fencing tokens.

use std::fmt;

/// A fencing token: every acquisition of one name has a greater one than all earlier ones.
///
/// Pass it with every write that the lock protects. The target of the write must refuse a token
/// below the highest that it has seen. A lock alone cannot stop a holder that was suspended and has
/// lost its lease without noticing. The token can. [`Ledger`](crate::Ledger) checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// Creates a token with the given number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the token, below 2^53.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
