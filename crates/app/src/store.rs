//! The application's tables, in SQLite.
//!
//! Reads go to a small pool. Writes go through [`Change`], which takes the one writer's place, makes every statement
//! name what it makes stale, and tells the caches when (and only when) it is committed.

mod change;
mod coherence;
mod imports;
mod open;
mod purge;
mod schedules;
mod tenants;

use sqlx::SqlitePool;
use tidegate_cache::TieredCache;

pub use change::Change;
pub use coherence::Coherence;
pub use imports::{Advanced, ImportProgress, RejectedLine};
pub use open::OpenError;
pub use purge::{Purge, RowError};
pub use schedules::{Cursor, CursorError, Page, Schedule};

/// The tables of one data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    reader: SqlitePool,
    writer: SqlitePool,
    cache: TieredCache,
    /// Marks the invalidations on which this process has acted already, which it need not read again.
    origin: i64,
}

/// A statement that didn't run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database said no, or did not answer.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A row holds what this version can't read.
    #[error("{table} `{id}` in the database holds an unreadable {column}")]
    Unreadable {
        /// Table of the row.
        table: &'static str,
        /// Key of the row.
        id: String,
        /// Column that can't be read.
        column: &'static str,
    },
    /// An invalidation that names no key or tag.
    #[error("the database holds an unreadable invalidation: {0}")]
    Invalidation(#[from] RowError),
    /// The thing to be created is there already.
    #[error("{what} `{id}` exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The process is ending and the commit's outcome was not seen.
    #[error("the commit was cut off by the end of the process")]
    CutOff,
}

impl Store {
    /// Closes every connection, after the statements in flight.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// When it doesn't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1 FROM tenant LIMIT 1").execute(&self.reader).await?;
        Ok(())
    }
}
