//! Backups: every table as it was at one moment, in a form that both databases read and write.
//!
//! `format` writes and checks the file, `jobs/backup.rs` makes it, [`restore`] brings it back.

mod format;
mod restore;

pub use format::FormatError;
pub(crate) use format::{Digests, Manifest, Writer};
pub use restore::{Request, RestoreError, RestoredTable, restore};
