//! Why an import file cannot be read at all.

use std::io;

use super::csv::HeaderError;

/// Why an import cannot begin. Faults of single lines are not errors but rejects.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file can't be read.
    #[error("the import file can't be read: {0}")]
    Io(#[from] io::Error),
    /// A CSV file without a proper header; no later attempt will mend it.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The position to go on from lies behind the end: this is not the file that was being read.
    #[error("the import is to go on at byte {byte}, the file has {length}")]
    PastEnd {
        /// Where to go on.
        byte: u64,
        /// Bytes of the file.
        length: u64,
    },
}
