//! The order of loads and invalidations, as a number.

/// A number in the order of invalidations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub(crate) u64);
