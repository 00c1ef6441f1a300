//! The chunks and positions of an import. The reader produces them, and the tables store them.

use serde::{Deserialize, Serialize};

pub use crate::reject::{Reject, clip};
use crate::schedule::ScheduleDraft;

/// A position between two records of a file, at which reading can resume. A store keeps it as the
/// progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Number of bytes before this position.
    pub byte: u64,
    /// Number of the physical line that starts here; the first is 1.
    pub line: u64,
}

impl Position {
    /// The beginning of a file.
    pub const START: Self = Self { byte: 0, line: 1 };
}

/// A chunk of a file, to be stored in one transaction together with `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Accepted rows, each with the physical line it starts at.
    pub rows: Vec<(u64, ScheduleDraft)>,
    /// Refused lines.
    pub rejects: Vec<Reject>,
    /// Start of the next chunk.
    pub end: Position,
    /// Whether the file ends here. The last chunk may be empty.
    pub finished: bool,
}
