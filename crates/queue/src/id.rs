//! Identities: of a job, and of a worker's process start.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, check};

/// Longest id, in bytes.
const ID_LIMIT: usize = 128;

/// Longest id of a group, in bytes: leaves room for ids made of it.
const GROUP_LIMIT: usize = 64;

/// Why an id was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {0}")]
pub struct IdError(#[from] pub NameError);

/// Names a job within its queue. Cheap to clone.
///
/// Generated ids are UUIDs of version 7, written in 26 letters and digits, which sort by the time they were made. An id chosen by the
/// caller makes enqueueing idempotent for as long as the record is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Arc<str>);

impl JobId {
    /// A new, unique id.
    pub fn generate() -> Self {
        // Five bits a character, in the order of their bytes.
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let number = uuid::Uuid::now_v7().as_u128();
        let text: [u8; 26] = std::array::from_fn(|at| DIGITS[(number >> (5 * (25 - at)) & 31) as usize]);
        Self(std::str::from_utf8(&text).unwrap_or_default().into())
    }

    /// Takes an id chosen by the caller: 1 to 128 of ASCII letters, digits, `_`, `-`, `.`, `:` and `~`.
    /// Jobs whose ids are alike after the last `~` share a partition, where a queue has several.
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

    /// The id, with a route that tells its partition.
    pub(crate) fn routed(&self, route: u32) -> Result<Self, IdError> {
        Self::new(format!("{}~{route:08x}", self.0))
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

/// Names a group of jobs within its queue. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// A new, unique id.
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

/// Names one start of one worker: random, so that no restart is mistaken for its predecessor.
/// It is the nonce of every lease the worker takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// A new, unique identity.
    pub fn generate() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()).into())
    }

    /// The identity as text: 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes back what a store kept; the text came from [`as_str`](Self::as_str).
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
    fn generated_ids_are_short_and_grow() {
        let ids: Vec<JobId> = (0..1_000).map(|_| JobId::generate()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.as_str().len() == 26 && JobId::new(id.as_str()).is_ok()));
    }
}
