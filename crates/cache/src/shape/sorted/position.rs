//! Positions of members, and results of reads.

use std::fmt;
use std::ops::{Bound, Range, RangeBounds};
use std::str::FromStr;

use super::super::error::ShapeError;

/// Highest score, 2^53 - 1, as far as the numbers of Redis are exact; the lowest is its negative.
pub(in super::super) const HIGHEST: i64 = (1 << 53) - 1;

/// Added to a score, so that its bytes have its order and the sign is the first of them.
const SIGN: i64 = 1 << 56;

/// A score that is in the range of scores.
pub(in super::super) fn in_range(score: i64) -> Result<i64, ShapeError> {
    if (-HIGHEST..=HIGHEST).contains(&score) { Ok(score) } else { Err(ShapeError::Score) }
}

/// The position of a member: its score in the upper half, and in the lower one 2^53 less the order
/// in which members reached theirs. No two members of a set have the same one, and the highest is
/// the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) struct Position(u128);

impl Position {
    /// Makes the position of the member that was the `nth` to reach a score.
    pub(in super::super) fn new(score: i64, nth: u64) -> Self {
        let order = u128::from((HIGHEST.unsigned_abs() + 1).saturating_sub(nth));
        Self((Self::upper(score) << 64) | order)
    }

    fn upper(score: i64) -> u128 {
        u128::from((score + SIGN).unsigned_abs())
    }

    pub(in super::super) fn score(self) -> i64 {
        i64::try_from(self.0 >> 64).map_or(0, |upper| upper - SIGN)
    }

    /// Returns the bytes that Redis has.
    pub(in super::super) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(in super::super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Returns the positions of these scores.
    pub(in super::super) fn of_scores(scores: impl RangeBounds<i64>) -> Range<Self> {
        let lowest = match scores.start_bound() {
            Bound::Included(score) => *score,
            Bound::Excluded(score) => score.saturating_add(1),
            Bound::Unbounded => -HIGHEST,
        };
        let highest = match scores.end_bound() {
            Bound::Included(score) => *score,
            Bound::Excluded(score) => score.saturating_sub(1),
            Bound::Unbounded => HIGHEST,
        };
        let (lowest, highest) = (lowest.max(-HIGHEST), highest.min(HIGHEST));
        if lowest > highest {
            return Self(0)..Self(0);
        }
        Self(Self::upper(lowest) << 64)..Self(Self::upper(highest + 1) << 64)
    }
}

/// End of a sorted set at which a read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// At the first member: the one with the highest score, or the lowest in a set that is
    /// [`lowest_first`](crate::SortedSetShape::lowest_first).
    Forward,
    /// At the last member. The order is the exact reverse.
    Backward,
}

/// A member of a sorted set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScoredMember {
    /// The member.
    pub member: String,
    /// Its score.
    pub score: i64,
    /// Its position, after which the next page begins.
    pub cursor: ScoreCursor,
}

/// The position of a member in a sorted set when it was read: score, and order among equals.
///
/// It stays valid when the member is removed or gets another score. As text it has 32 hexadecimal
/// digits, for the address of the next page. A cursor belongs to its key, and to memory or Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScoreCursor(pub(in super::super) Position);

impl ScoreCursor {
    /// Returns the part of the range behind this position.
    pub(super) fn rest(self, range: Range<Position>, direction: Direction) -> Range<Position> {
        let Range { start, end } = range;
        match direction {
            Direction::Forward => start..end.min(self.0),
            Direction::Backward => start.max(Position(self.0.0.saturating_add(1)))..end,
        }
    }
}

impl fmt::Display for ScoreCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0.0)
    }
}

impl FromStr for ScoreCursor {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number.map(|number| Self(Position(number))).ok_or(ShapeError::Cursor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_invalid_cursor_is_refused() {
        let cursor = ScoreCursor(Position::new(-5, 7));
        assert_eq!(cursor.to_string().parse::<ScoreCursor>().unwrap(), cursor);
        for text in ["", "5", "+0000000000000000000000000000000", "g0000000000000000000000000000000"] {
            assert!(matches!(text.parse::<ScoreCursor>(), Err(ShapeError::Cursor)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn positions_have_the_order_of_scores_and_then_of_time(
            one in (-HIGHEST..=HIGHEST, 0..1_u64 << 53),
            other in (prop_oneof![-3..=3_i64, -HIGHEST..=HIGHEST], 0..1_u64 << 53),
        ) {
            let (first, second) = (Position::new(one.0, one.1), Position::new(other.0, other.1));
            prop_assert_eq!(first.cmp(&second), one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
            prop_assert_eq!(first.bytes().cmp(&second.bytes()), first.cmp(&second));
            prop_assert_eq!(Position::from_bytes(first.bytes()), first);
            prop_assert_eq!((first.score(), second.score()), (one.0, other.0));
        }
    }
}
