//! Members with scores, ordered by them.

mod memory;
mod position;
#[cfg(feature = "redis")]
pub(super) mod redis;
mod step;

use std::collections::HashSet;
use std::ops::RangeBounds;

pub(super) use memory::SortedMembers;
pub(super) use position::Position;
pub use position::{Direction, ScoreCursor, ScoredMember};
pub(super) use step::{Around, SortedRead, SortedWrite};

use super::error::ShapeError;
use super::store::{Bound, Kind, bounded, common};
use position::in_range;
use tidegate_cache_tiers::Key;

/// Default limit of a set.
const LIMIT: usize = 10_000;

/// Sorted sets under keys of one class: members of up to 512 bytes, each with a score.
///
/// The member with the highest score is the first and has rank 0;
/// [`lowest_first`](Self::lowest_first) is for sets where the lowest score wins. Members with equal
/// scores are ordered by when they reached that score: the earliest is nearest to rank 0.
/// [`Direction::Backward`] is the exact reverse. A set has at most 10,000 members unless
/// [`limit`](Self::limit) says otherwise. A write that brings more removes the last ones in the
/// same step.
///
/// A feed keeps the newest posts of each follower. The score is the time of the post:
///
/// ```
/// use tidegate_cache::{Direction, Key, Shapes, TtlClass};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const WEEK: TtlClass = TtlClass::new("feed", std::time::Duration::from_secs(7 * 24 * 3600));
/// let feeds = Shapes::in_memory(10_000).sorted_set(WEEK).limit(1_000).renewing();
/// let feed = |user: u64| Key::builder("feed").part(user).build();
/// let followers = [feed(1)?, feed(2)?];
///
/// for (post, time) in [("post-7", 1_700_000_100), ("post-8", 1_700_000_200)] {
///     for added in feeds.add_to_many(&followers, post, time).await? {
///         added?; // one result for each follower
///     }
/// }
/// let page = feeds.page(&followers[0], Direction::Forward, .., None, 1).await?;
/// assert_eq!(page[0].member, "post-8");
/// // The next page begins behind the last member, whatever has arrived since.
/// feeds.add(&followers[0], "post-9", 1_700_000_300).await?;
/// let next = feeds.page(&followers[0], Direction::Forward, .., Some(page[0].cursor), 1).await?;
/// assert_eq!(next[0].member, "post-7");
/// # Ok(())
/// # }
/// ```
///
/// A leaderboard:
///
/// ```
/// # use tidegate_cache::{Direction, Key, Shapes, TtlClass};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # const WEEK: TtlClass = TtlClass::new("board", std::time::Duration::from_secs(7 * 24 * 3600));
/// let boards = Shapes::in_memory(100).sorted_set(WEEK).limit(1_000_000);
/// let board = Key::builder("board").part("2026-11").build()?;
/// boards.add_many(&board, &[("ada", 30), ("ben", 20), ("cleo", 20)]).await?;
/// boards.add_if_better(&board, "ben", 10).await?; // changes nothing
/// assert_eq!(boards.increment(&board, "cleo", 10).await?, 30);
/// // Both have 30, and ada had it first.
/// assert_eq!(boards.rank(&board, "cleo").await?, Some(1));
/// let near = boards.neighbours(&board, "cleo", 5).await?;
/// assert_eq!((near[2].0, near[2].1.member.as_str(), near[2].1.score), (2, "ben", 20));
/// # Ok(())
/// # }
/// ```
///
/// # What it guarantees
///
/// - Every write is one atomic step for each key, with its trim. No read sees more members than the
///   limit.
/// - A range has each member once at most. Pages that continue with the cursor of the last member
///   repeat no member whose score has not changed, and leave out none that was there all the time.
/// - A score is exact: whole numbers up to 2^53 - 1 on either side of zero. [`ShapeError::Score`]
///   refuses others.
/// - A crash that tears the append-only file of the server can remove members that were being
///   written. It leaves no member twice, and no key without an expiry.
///
/// # What it does not guarantee
///
/// - That a key of Redis expires after such a crash, if the account may not run `RESTORE` or the
///   server does not read its format, and nothing reads or writes the key again. With `RESTORE` a
///   key and its expiry are made in one step.
/// - That a cursor leads on in a set that was evicted or deleted and has begun anew.
///
/// # Cost
///
/// In Redis each operation is one script and one round trip. `add_to_many` sends one script for 64
/// keys (in a cluster: for the keys of one slot), `remove_from_many` one for each key; both have up
/// to 1,024 keys in flight at once. A key takes about 15 µs of the server's time. `n` is the size
/// of the set, `k` the number of members that are written or returned:
///
/// | operation | in Redis | in memory |
/// |---|---|---|
/// | each write | O(k log n), about 8 commands | moves up to n entries for each of k |
/// | `range` | O(log n + k) | O(offset + k) |
/// | `page`, `neighbours`, `rank`, `score` | O(log n + k) | O(log n + k) |
/// | `count` | O(1) | O(1) |
///
/// Redis stores a member twice, in a sorted set and in a hash, so that equal scores have an order.
/// A member of 20 bytes takes about 230 bytes, twice as much as in a plain sorted set. The first
/// use after a torn file or the eviction of one of the two keys walks the set once, to remove what
/// is left over. In memory, prefer sets of up to 100,000 members.
#[derive(Debug, Clone)]
pub struct SortedSetShape {
    bound: Bound,
    limit: usize,
    is_lowest_first: bool,
}

impl SortedSetShape {
    pub(super) fn new(bound: Bound) -> Self {
        Self { bound, limit: LIMIT, is_lowest_first: false }
    }

    /// Sets the maximum number of members per set, at least one. Writes remove the last ones.
    #[must_use]
    pub fn limit(mut self, members: usize) -> Self {
        self.limit = members.max(1);
        self
    }

    /// Puts the lowest score first, such as the shortest time. The limit then keeps the lowest, and
    /// lower is better. These sets never meet the others, though they have the same key.
    #[must_use]
    pub fn lowest_first(mut self) -> Self {
        self.is_lowest_first = true;
        self
    }

    /// Adds a member or changes its score. Returns whether it is new; `false` if it was not kept.
    ///
    /// A member that has this score already keeps its position.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Score`], [`ShapeError::TooLong`], or Redis cannot be reached.
    pub async fn add(&self, key: &Key, member: &str, score: i64) -> Result<bool, ShapeError> {
        Ok(self.add_many(key, &[(member, score)]).await? == 1)
    }

    /// Adds members as [`add`](Self::add) does, in one step. Returns how many are new and kept.
    /// Those with equal scores have the order of the slice; the last one counts if a member is
    /// there twice.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add). Nothing was changed.
    pub async fn add_many(&self, key: &Key, members: &[(&str, i64)]) -> Result<u64, ShapeError> {
        let mut seen = HashSet::with_capacity(members.len());
        let mut added = Vec::with_capacity(members.len());
        for (member, score) in members.iter().rev() {
            if seen.insert(*member) {
                added.push((bounded(member)?, self.signed(in_range(*score)?)));
            }
        }
        added.reverse();
        if added.is_empty() {
            return Ok(0);
        }
        Ok(self.write(key, SortedWrite::Add(&added)).await?.unsigned_abs())
    }

    /// Adds one member to many sets, such as a post to the feeds of all followers. Returns for each
    /// key whether the member is new there, or the error. After an error it may have been added all
    /// the same. Adding it again to all keys changes nothing where it exists.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Score`] or [`ShapeError::TooLong`]. Nothing was changed.
    pub async fn add_to_many(
        &self,
        keys: &[Key],
        member: &str,
        score: i64,
    ) -> Result<Vec<Result<bool, ShapeError>>, ShapeError> {
        let added = [(bounded(member)?, self.signed(in_range(score)?))];
        Ok(self.write_many(keys, SortedWrite::Add(&added)).await)
    }

    /// Adds a member, or changes its score if the new one is better: higher, or lower in a set that
    /// is [`lowest_first`](Self::lowest_first). Returns whether anything was changed.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub async fn add_if_better(&self, key: &Key, member: &str, score: i64) -> Result<bool, ShapeError> {
        let score = self.signed(in_range(score)?);
        Ok(self.write(key, SortedWrite::Improve(bounded(member)?, score)).await? == 1)
    }

    /// Adds to the score of a member, which begins at zero; below zero it takes off. Returns the
    /// new score, also of a member whose score is too low to be kept.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), also if the sum is out of range.
    pub async fn increment(&self, key: &Key, member: &str, by: i64) -> Result<i64, ShapeError> {
        let by = self.signed(in_range(by)?);
        let score = self.write(key, SortedWrite::Increment(bounded(member)?, by)).await?;
        Ok(self.signed(score))
    }

    /// Removes a member. Returns whether it existed. Removing the last one removes the key.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn remove(&self, key: &Key, member: &str) -> Result<bool, ShapeError> {
        Ok(self.remove_many(key, &[member]).await? == 1)
    }

    /// Removes members in one step. Returns how many existed.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn remove_many(&self, key: &Key, members: &[&str]) -> Result<u64, ShapeError> {
        let mut seen = HashSet::with_capacity(members.len());
        let members: Vec<&str> = members.iter().copied().filter(|member| seen.insert(*member)).collect();
        if members.is_empty() {
            return Ok(0);
        }
        Ok(self.write(key, SortedWrite::Remove(&members)).await?.unsigned_abs())
    }

    /// Removes one member from many sets. Returns for each key whether it existed, or the error.
    pub async fn remove_from_many(&self, keys: &[Key], member: &str) -> Vec<Result<bool, ShapeError>> {
        self.write_many(keys, SortedWrite::Remove(&[member])).await
    }

    /// Returns members by rank: `limit` of them after the first `offset`, in this direction.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn range(
        &self,
        key: &Key,
        direction: Direction,
        offset: u64,
        limit: usize,
    ) -> Result<Vec<ScoredMember>, ShapeError> {
        self.read(key, SortedRead::Ranks { direction, offset, limit }, limit).await
    }

    /// Returns up to `limit` members with a score in `scores` (`..` for all), after `after`.
    ///
    /// To continue, pass the [`cursor`](ScoredMember::cursor) of the last member. A page with fewer
    /// than `limit` members is the last. Members that arrive between two pages appear on later
    /// pages only if they are after the cursor.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn page(
        &self,
        key: &Key,
        direction: Direction,
        scores: impl RangeBounds<i64>,
        after: Option<ScoreCursor>,
        limit: usize,
    ) -> Result<Vec<ScoredMember>, ShapeError> {
        let (start, end) = (scores.start_bound().cloned(), scores.end_bound().cloned());
        let range = if self.is_lowest_first {
            Position::of_scores((end.map(i64::saturating_neg), start.map(i64::saturating_neg)))
        } else {
            Position::of_scores((start, end))
        };
        let range = match after {
            Some(cursor) => cursor.rest(range, direction),
            None => range,
        };
        self.read(key, SortedRead::Positions { direction, range, limit }, limit).await
    }

    /// Returns the rank of a member, 0 for the first; `None` if the set does not have it.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn rank(&self, key: &Key, member: &str) -> Result<Option<u64>, ShapeError> {
        let around = self.bound.store.sorted_around(self.kind(), key, member, 0).await?;
        Ok(around.map(|around| around.rank))
    }

    /// Returns a member and up to `each_side` others on both sides, with ranks; empty if missing.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn neighbours(
        &self,
        key: &Key,
        member: &str,
        each_side: u32,
    ) -> Result<Vec<(u64, ScoredMember)>, ShapeError> {
        let Some(around) = self.bound.store.sorted_around(self.kind(), key, member, each_side).await? else {
            return Ok(Vec::new());
        };
        Ok((around.first..).zip(around.members.into_iter().map(|found| self.scored(found))).collect())
    }

    /// Returns the score of a member; `None` if the set does not have it.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn score(&self, key: &Key, member: &str) -> Result<Option<i64>, ShapeError> {
        let around = self.bound.store.sorted_around(self.kind(), key, member, 0).await?;
        Ok(around.and_then(|around| Some(self.signed(around.members.first()?.0.score()))))
    }

    /// Returns the number of members.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if Redis cannot be reached.
    pub async fn count(&self, key: &Key) -> Result<u64, ShapeError> {
        self.bound.store.count(self.kind(), key).await
    }

    common!(self.kind(), self.bound);

    fn kind(&self) -> Kind {
        if self.is_lowest_first { Kind::Lowest } else { Kind::Highest }
    }

    /// A score as it is kept, or back again.
    fn signed(&self, score: i64) -> i64 {
        if self.is_lowest_first { -score } else { score }
    }

    fn scored(&self, (position, member): (Position, String)) -> ScoredMember {
        ScoredMember { member, score: self.signed(position.score()), cursor: ScoreCursor(position) }
    }

    async fn write(&self, key: &Key, step: SortedWrite<'_>) -> Result<i64, ShapeError> {
        let mut results = self.bound.store.sorted_write(self.kind(), &[key], step, self.bound.life, self.limit).await;
        results.pop().unwrap_or(Ok(0))
    }

    async fn write_many(&self, keys: &[Key], step: SortedWrite<'_>) -> Vec<Result<bool, ShapeError>> {
        let keys: Vec<&Key> = keys.iter().collect();
        let results = self.bound.store.sorted_write(self.kind(), &keys, step, self.bound.life, self.limit).await;
        results.into_iter().map(|result| result.map(|count| count > 0)).collect()
    }

    async fn read(&self, key: &Key, read: SortedRead, limit: usize) -> Result<Vec<ScoredMember>, ShapeError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let found = self.bound.store.sorted_read(self.kind(), key, read).await?;
        Ok(found.into_iter().map(|found| self.scored(found)).collect())
    }
}
