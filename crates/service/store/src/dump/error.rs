//! Reasons why tables can't be restored into.

use std::path::PathBuf;

use crate::error::StoreError;
use crate::open::OpenError;

/// The tables can't be restored into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A process uses them.
    #[error("a running tidegate uses {place}: stop every tidegate-api and tidegate-worker on it first")]
    InUse {
        /// The directory, or the database without its login.
        place: String,
    },
    /// They contain data.
    #[error("{place} contains data (table {table}); --replace replaces it")]
    NotEmpty {
        /// The file, or the database without its login.
        place: String,
        /// The first table that has rows.
        table: &'static str,
    },
    /// They can't be opened or migrated to this version.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A statement failed. Nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file can't be created or moved.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A row of the backup does not fit its table.
    #[error("a row does not match table {table}")]
    Misfit {
        /// Name of the table.
        table: &'static str,
    },
}
