//! A sorted set in the memory of this process.

use std::collections::HashMap;

use super::position::{Direction, Position, in_range};
use super::step::{Around, SortedRead, SortedWrite};
use crate::shape::error::ShapeError;

/// Members in the order of their positions, the last one first.
#[derive(Debug, Default)]
pub(in super::super) struct SortedMembers {
    sorted: Vec<(Position, String)>,
    positions: HashMap<String, Position>,
    /// How many times a member has reached a score.
    reached: u64,
}

impl SortedMembers {
    pub(in super::super) fn write(&mut self, step: SortedWrite<'_>, limit: usize) -> Result<i64, ShapeError> {
        let count = match step {
            SortedWrite::Add(members) => {
                let mut new = Vec::new();
                for (member, score) in members {
                    new.extend(self.put(member, *score).is_none().then_some(*member));
                }
                self.trim(limit);
                new.iter().filter(|member| self.positions.contains_key(**member)).count()
            }
            SortedWrite::Improve(member, score) => {
                let is_better = self.score(member).is_none_or(|before| before < score);
                if is_better {
                    self.put(member, score);
                }
                self.trim(limit);
                usize::from(is_better && self.positions.contains_key(member))
            }
            SortedWrite::Increment(member, by) => {
                let score = in_range(self.score(member).unwrap_or(0) + by)?;
                self.put(member, score);
                self.trim(limit);
                return Ok(score);
            }
            SortedWrite::Remove(members) => members.iter().filter(|member| self.take(member).is_some()).count(),
        };
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(in super::super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(in super::super) fn score(&self, member: &str) -> Option<i64> {
        self.positions.get(member).map(|position| position.score())
    }

    pub(in super::super) fn read(&self, read: &SortedRead) -> Vec<(Position, String)> {
        let (direction, part, offset, limit) = match read {
            SortedRead::Ranks { direction, offset, limit } => (direction, &self.sorted[..], *offset, *limit),
            SortedRead::Positions { direction, range, limit } => {
                let at = |bound| self.sorted.partition_point(|(position, _)| *position < bound);
                let (start, end) = (at(range.start), at(range.end));
                (direction, &self.sorted[start.min(end)..end], 0, *limit)
            }
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        match direction {
            Direction::Forward => part.iter().rev().skip(skipped).take(limit).cloned().collect(),
            Direction::Backward => part.iter().skip(skipped).take(limit).cloned().collect(),
        }
    }

    pub(in super::super) fn around(&self, member: &str, each_side: u32) -> Option<Around> {
        let position = self.positions.get(member)?;
        let behind = self.sorted.partition_point(|(other, _)| other <= position);
        let rank = (self.sorted.len() - behind) as u64;
        let first = rank.saturating_sub(each_side.into());
        let limit = usize::try_from(rank - first + u64::from(each_side) + 1).unwrap_or(usize::MAX);
        let members = self.read(&SortedRead::Ranks { direction: Direction::Forward, offset: first, limit });
        Some(Around { rank, first, members })
    }

    /// Returns the position before. One with the same score is kept.
    fn put(&mut self, member: &str, score: i64) -> Option<Position> {
        let before = self.positions.get(member).copied();
        if before.is_none_or(|before| before.score() != score) {
            self.take(member);
            self.reached += 1;
            let position = Position::new(score, self.reached);
            let at = self.sorted.partition_point(|(other, _)| *other < position);
            self.sorted.insert(at, (position, member.to_owned()));
            self.positions.insert(member.to_owned(), position);
        }
        before
    }

    fn take(&mut self, member: &str) -> Option<Position> {
        let position = self.positions.remove(member)?;
        let at = self.sorted.partition_point(|(other, _)| *other < position);
        self.sorted.remove(at);
        Some(position)
    }

    fn trim(&mut self, limit: usize) {
        for (_, member) in self.sorted.drain(..self.sorted.len().saturating_sub(limit)) {
            self.positions.remove(&member);
        }
    }
}
