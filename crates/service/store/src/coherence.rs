//! Keeps the cache of this process consistent with the commits of other processes.
//!
//! PostgreSQL notifies of commits: see [`listen`]. With SQLite, each commit writes its
//! invalidations to a table. Before a reader uses the cache, [`Coherence::catch_up`] compares the
//! header of the WAL index ([`wal_index`]), in less than a microsecond. It reads the table only if
//! there was a commit since the last read. Callers that arrive during a read share the next one.
//!
//! Invariant with SQLite: a read that starts after a commit ended, in any process, is not answered
//! with a state from before that commit.

mod listen;
mod listeners;
mod lost;
mod table;
mod wal_index;
mod written;

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use tidegate_settings::DatabaseUrl;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::StoreError;
use super::store::Store;
use listen::Listening;
pub use lost::{Lost, WatchEnded};
use table::Watcher;
use wal_index::ReadUpTo;

/// Makes the cache of this process current. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Coherence(Means);

#[derive(Debug, Clone)]
enum Means {
    /// A task reads the table for callers, if there may be new rows in it.
    Table { known: ReadUpTo, callers: mpsc::Sender<oneshot::Sender<()>> },
    /// The server sends notifications.
    Listening(Listening),
}

impl Coherence {
    /// Starts the watch on a SQLite database. It runs until `shutdown`.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub(super) async fn start(
        store: &Store,
        options: &SqliteConnectOptions,
        shutdown: CancellationToken,
    ) -> Result<Self, StoreError> {
        let (known, callers) = Watcher::start(store, options, shutdown).await?;
        Ok(Self(Means::Table { known, callers }))
    }

    /// Starts to listen to a PostgreSQL server. It runs until `shutdown`.
    ///
    /// # Errors
    ///
    /// [`Lost`] if the server does not deliver notifications.
    pub(super) async fn listen(
        store: &Store,
        url: &DatabaseUrl,
        patience: Duration,
        shutdown: CancellationToken,
    ) -> Result<Self, Lost> {
        Listening::start(store, url, patience, shutdown).await.map(|listening| Self(Means::Listening(listening)))
    }

    /// Returns when the cache has processed everything that was committed before this call. With
    /// PostgreSQL, that is what the server has sent by then, which lags by some milliseconds.
    ///
    /// If the database can't be read or does not send notifications, clears the cache, so that
    /// nothing stale is served. Never waits for a writer, of this process or another.
    ///
    /// # Errors
    ///
    /// [`WatchEnded`] if the watch has ended. The cache must then not be read.
    pub async fn catch_up(&self) -> Result<(), WatchEnded> {
        let callers = match &self.0 {
            Means::Table { known, callers } if known.is_everything() && !callers.is_closed() => return Ok(()),
            Means::Table { callers, .. } => callers,
            Means::Listening(listening) => return listening.catch_up().await,
        };
        let (done, looked) = oneshot::channel();
        callers.send(done).await.map_err(|_| WatchEnded)?;
        looked.await.map_err(|_| WatchEnded)
    }

    /// Whether the watch is running.
    pub fn is_watching(&self) -> bool {
        match &self.0 {
            Means::Table { callers, .. } => !callers.is_closed(),
            Means::Listening(listening) => listening.is_watching(),
        }
    }

    /// Whether the cache is current. While it is not, each request clears it and reads the tables.
    pub fn is_current(&self) -> bool {
        match &self.0 {
            Means::Table { callers, .. } => !callers.is_closed(),
            Means::Listening(listening) => listening.is_current(),
        }
    }

    /// Returns when `shutdown` was cancelled, the watch has ended and its connection is closed.
    pub async fn ended(&self) {
        match &self.0 {
            Means::Table { callers, .. } => callers.closed().await,
            Means::Listening(listening) => listening.ended().await,
        }
    }
}

#[cfg(test)]
mod tests;
