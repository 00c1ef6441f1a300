//! How a run of an operation ended.

use serde::Serialize;

/// How a run of an operation ended. In JSON `"finished"`, `"failed"`, `"panicked"` or
/// `"cancelled"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RunOutcome {
    /// With a result.
    Finished,
    /// With an error.
    Failed,
    /// With a panic.
    Panicked,
    /// It was dropped before its end: its caller no longer waited, or other code in its task
    /// panicked.
    Cancelled,
}

impl RunOutcome {
    /// `finished`, `failed`, `panicked` or `cancelled`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Finished } else { Self::Failed }
    }
}
