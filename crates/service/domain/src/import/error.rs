//! Why an import file cannot be read at all.

use std::io;

use super::csv::HeaderError;

/// Why an import cannot begin. Faults of single lines are rejects, not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be read.
    #[error("the import file can't be read: {0}")]
    Io(#[from] io::Error),
    /// A CSV file without a valid header. A retry cannot help.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The position to resume at is after the end, so this is not the file that was being read.
    #[error("the import must resume at byte {byte}, but the file has {length}")]
    PastEnd {
        /// Byte to resume at.
        byte: u64,
        /// Bytes of the file.
        length: u64,
    },
}
