//! Backups: every table as it was at one moment, in a format that both databases read and write.
//!
//! `format` writes and checks the file, the backup job creates it, and [`restore`] restores it.

mod format;
mod restore;

pub use format::FormatError;
#[cfg(any(test, feature = "test-support"))]
pub use format::sealed;
pub use format::{Digests, Manifest, TableDigest, Writer};
pub use restore::{Request, RestoreError, RestoredTable, restore};
