//! Ids of jobs, groups and workers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, check};

/// Longest id, in bytes.
const ID_LIMIT: usize = 128;

/// Longest id of a group, in bytes. Shorter than a job's, since job ids contain group ids.
const GROUP_LIMIT: usize = 64;

/// Why an id was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {0}")]
pub struct IdError(#[from] pub NameError);

/// Identifies a job within its queue. Cheap to clone.
///
/// A generated id is a UUID of version 7, written in 22 letters and digits. Generated ids sort by
/// their creation time. An id chosen by the caller makes enqueueing idempotent for as long as the
/// record is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Arc<str>);

impl JobId {
    /// Generates a unique id.
    pub fn generate() -> Self {
        let (first, second) = uuid::Uuid::now_v7().as_u64_pair();
        let mut text = [0; 2 * HALF];
        let (left, right) = text.split_at_mut(HALF);
        write_digits(left, first);
        write_digits(right, second);
        Self(std::str::from_utf8(&text).unwrap_or_default().into())
    }

    /// Takes an id chosen by the caller: 1 to 128 of ASCII letters, digits, `_`, `-`, `.`, `:` and
    /// `~`. In a queue with several partitions, jobs whose ids have the same text after the last
    /// `~` share a partition.
    ///
    /// # Errors
    /// [`IdError`] for any other text.
    pub fn new(id: impl AsRef<str>) -> Result<Self, IdError> {
        check(id.as_ref(), ID_LIMIT, "_-.:~")?;
        Ok(Self(id.as_ref().into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns this id with the route of another id appended, so that both are in the same
    /// partition of a queue.
    ///
    /// # Errors
    /// [`IdError`] if the result is too long.
    pub fn beside(&self, other: &Self) -> Result<Self, IdError> {
        let route = other.0.rsplit_once('~').map_or(&*other.0, |(_, route)| route);
        Self::new(format!("{self}~{route}"))
    }

    /// Appends a route, which decides the partition. Only the part of `route` is used that
    /// distinguishes the partitions of any queue.
    pub(crate) fn routed(&self, route: u32) -> Result<Self, IdError> {
        let mut text = *b"~000";
        write_digits(&mut text[1..], u64::from(route));
        Self::new([&self.0, std::str::from_utf8(&text).unwrap_or_default()].concat())
    }
}

/// Characters of half a generated id. Short, since a store keeps several copies of it with each
/// job.
const HALF: usize = 11;

/// Writes the last digits of a number in base 62. The digits are in ASCII order, so texts sort as
/// the numbers do.
fn write_digits(text: &mut [u8], mut number: u64) {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for digit in text.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl TryFrom<String> for JobId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.as_str().to_owned()
    }
}

/// Identifies a group of jobs. A created group is unique in its broker. A group that jobs only name
/// is unique in its queue. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// Generates a unique id.
    pub fn generate() -> Self {
        Self(JobId::generate().0)
    }

    /// Takes an id chosen by the caller: 1 to 64 of ASCII letters, digits, `_`, `-`, `.` and `:`.
    ///
    /// # Errors
    /// [`IdError`] for any other text.
    pub fn new(id: impl AsRef<str>) -> Result<Self, IdError> {
        check(id.as_ref(), GROUP_LIMIT, "_-.:")?;
        Ok(Self(id.as_ref().into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GroupId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl TryFrom<String> for GroupId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<GroupId> for String {
    fn from(id: GroupId) -> Self {
        id.as_str().to_owned()
    }
}

/// Identifies one start of one worker. Random, so that a restarted worker has another id. It is the
/// nonce of every lease that the worker takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// Generates a unique id.
    pub fn generate() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()).into())
    }

    /// The id as text: 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Converts a stored text back. The text came from [`as_str`](Self::as_str).
    pub(crate) fn from_stored(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_sort_as_their_numbers() {
        let write = |number| {
            let mut text = [0; HALF];
            write_digits(&mut text, number);
            text
        };
        let texts = [0, 1, 61, 62, u64::from(u32::MAX), u64::MAX - 1, u64::MAX].map(write);
        assert!(texts.is_sorted_by(|a, b| a < b));
        assert_eq!(&texts[3], b"00000000010");
        assert_eq!(&texts[6], b"LygHa16AHYF");
    }

    #[test]
    fn generated_ids_are_short_and_grow() {
        let ids: Vec<JobId> = (0..1_000).map(|_| JobId::generate()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.as_str().len() == 22 && JobId::new(id.as_str()).is_ok()));
    }
}
