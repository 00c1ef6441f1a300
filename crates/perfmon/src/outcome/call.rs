//! How a request ended.

use serde::{Serialize, Serializer};

use crate::outcome::status::StatusClass;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// With a response of this status.
    Status(u16),
    /// Without a response: the handler panicked or the service returned an error. It counts as a
    /// server error.
    Failed,
    /// The client left first. It is only counted: its time says when the client gave up, not how
    /// long the work takes.
    Aborted,
}

impl CallOutcome {
    /// Whether the caller was turned away before anything was done for it: 401, 403, 405 or 429.
    ///
    /// Such a response says nothing about how well the service works. If it counted as good, a
    /// client that is refused often enough would hide an outage. If it counted as bad, that client
    /// would cause one.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Status(401 | 403 | 405 | 429))
    }

    pub(crate) fn has_failed(self) -> bool {
        match self {
            Self::Status(code) => StatusClass::of(code) == StatusClass::ServerError,
            Self::Failed => true,
            Self::Aborted => false,
        }
    }
}

impl Serialize for CallOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Status(code) => serializer.serialize_u16(*code),
            Self::Failed => serializer.serialize_str("failed"),
            Self::Aborted => serializer.serialize_str("aborted"),
        }
    }
}
