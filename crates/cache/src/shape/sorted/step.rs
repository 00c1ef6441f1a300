//! Operations of a sorted set, for memory and Redis alike. The highest score comes first.

use std::ops::Range;

use super::position::{Direction, Position};

/// One step on a set, with different members.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum SortedWrite<'a> {
    /// Returns how many are new.
    Add(&'a [(&'a str, i64)]),
    /// Returns 1 if the score is higher than before, or the member is new.
    Improve(&'a str, i64),
    /// Returns the new score.
    Increment(&'a str, i64),
    /// Returns how many existed.
    Remove(&'a [&'a str]),
}

/// A part of a set.
#[derive(Debug, Clone)]
pub(in super::super) enum SortedRead {
    Ranks { direction: Direction, offset: u64, limit: usize },
    Positions { direction: Direction, range: Range<Position>, limit: usize },
}

/// A member's rank and its neighbours.
#[derive(Debug, Clone)]
pub(in super::super) struct Around {
    pub(in super::super) rank: u64,
    /// The rank of the first of `members`.
    pub(in super::super) first: u64,
    pub(in super::super) members: Vec<(Position, String)>,
}
