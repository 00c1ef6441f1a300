//! What an import reads in one go, and how far it has come: the reader gives it, the tables keep it.

use serde::{Deserialize, Serialize};

pub use crate::reject::{Reject, clip};
use crate::schedule::ScheduleDraft;

/// A place between two records of a file: where reading goes on, and what a store keeps of
/// progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Bytes before this place.
    pub byte: u64,
    /// Number of the physical line that starts here; the first is 1.
    pub line: u64,
}

impl Position {
    /// The beginning of a file.
    pub const START: Self = Self { byte: 0, line: 1 };
}

/// What was read in one go: to be stored, together with `end`, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Accepted rows, each with the physical line it starts at.
    pub rows: Vec<(u64, ScheduleDraft)>,
    /// Refused lines.
    pub rejects: Vec<Reject>,
    /// Where the next chunk starts.
    pub end: Position,
    /// Whether the file ends here. The last chunk may be empty.
    pub finished: bool,
}
