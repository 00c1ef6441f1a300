//! Reads the invalidations of other processes from the table of a SQLite database.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::listeners::CommitListeners;
use super::wal_index::ReadUpTo;
use super::written::Written;
use crate::error::StoreError;
use crate::origins::Origins;
use crate::sql::invalidations::{BEHIND, LAST};
use crate::store::Store;
use crate::value::Row;

/// Interval of reads of the table if there is no request and no waiter.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// Interval of reads of the table while a caller waits for notifications of a tenant.
const NEWS_LOOK: Duration = Duration::from_millis(20);
/// Maximum number of callers that one read of the table serves.
const BATCH: usize = 1024;

/// The watch on the table.
pub(super) struct Watcher {
    connection: SqliteConnection,
    version: i64,
    /// Id of the last invalidation that was applied.
    position: i64,
    listeners: CommitListeners,
    origins: Origins,
    known: ReadUpTo,
}

impl Watcher {
    /// Starts the watch. Returns what it knows, and the queue of callers for which it reads the
    /// table. Runs until `shutdown`.
    pub(super) async fn start(
        store: &Store,
        options: &SqliteConnectOptions,
        shutdown: CancellationToken,
    ) -> Result<(ReadUpTo, mpsc::Sender<oneshot::Sender<()>>), StoreError> {
        let mut connection = options.connect().await?;
        let version = data_version(&mut connection).await?;
        let position = last(&mut connection).await?.unwrap_or(0);
        let known = ReadUpTo::of(options.get_filename());
        let listeners = CommitListeners::of(store);
        let mut watcher =
            Watcher { connection, version, position, listeners, origins: store.origins.clone(), known: known.clone() };
        if store.cache.owed().is_some() {
            // A killed process may have committed without an invalidation of the shared cache.
            watcher.retell().await?;
        }
        let (callers, queue) = mpsc::channel(BATCH);
        tokio::spawn(watcher.run(queue, shutdown));
        Ok((known, callers))
    }

    async fn run(mut self, mut queue: mpsc::Receiver<oneshot::Sender<()>>, shutdown: CancellationToken) {
        let mut callers = Vec::with_capacity(BATCH);
        let mut is_readable = true;
        loop {
            // A table that can't be read must not be logged fifty times a second.
            let pause = if is_readable && self.listeners.news.is_awaited() { NEWS_LOOK } else { IDLE_LOOK };
            tokio::select! {
                () = shutdown.cancelled() => break,
                // A caller started to wait: the shorter interval applies now.
                () = self.listeners.news.begun() => {}
                received = queue.recv_many(&mut callers, BATCH) => {
                    if received == 0 {
                        break;
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
            let now = self.known.now();
            let looked = self.look().await;
            is_readable = looked.is_ok();
            self.known.set(now.filter(|_| is_readable));
            if let Err(error) = looked {
                tracing::warn!(%error, "the invalidations of other processes can't be read: the cache is cleared");
                self.listeners.start_anew().await;
            }
            for caller in callers.drain(..) {
                // A caller that has gone needs no answer.
                let _ = caller.send(());
            }
        }
        // Dropping `self` after the connection closes the channel. Later callers get an error.
        let _ = self.connection.close().await;
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let version = data_version(&mut self.connection).await?;
        if version == self.version {
            return Ok(());
        }
        // One snapshot for both queries. Ids have no gaps (a rolled-back insert releases its id).
        // So fewer rows than ids means that some rows were removed before they were read here.
        let mut snapshot = self.connection.begin().await?;
        let rows = behind(&mut snapshot, self.position).await?;
        let last = last(&mut snapshot).await?.unwrap_or(self.position);
        snapshot.commit().await?;
        if usize::try_from(last - self.position) != Ok(rows.len()) {
            tracing::info!("invalidations were removed before this process read them: the cache is cleared");
            self.listeners.start_anew().await;
        }
        let others = rows.iter().filter(|row| !self.origins.have_acted_on(row.origin));
        self.listeners.act_on(others.map(Written::invalidation)).await;
        // Last, so that a read that failed half-way is repeated.
        self.position = last;
        self.version = version;
        Ok(())
    }

    /// Applies every invalidation that is still in the table.
    async fn retell(&mut self) -> Result<(), StoreError> {
        let rows = behind(&mut self.connection, 0).await?;
        self.listeners.act_on(rows.iter().map(Written::invalidation)).await;
        Ok(())
    }
}

/// Returns the invalidations after `id`, in the order in which they were written.
async fn behind(connection: &mut SqliteConnection, id: i64) -> Result<Vec<Written>, StoreError> {
    let rows = BEHIND.with(&[id.into()]).fetch_all(connection).await?;
    rows.into_iter().map(|row| Written::read(&row.into())).collect()
}

/// Returns the highest id that was ever assigned.
async fn last(connection: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
    let row = LAST.with(&[]).fetch_optional(connection).await?;
    row.map(|row| Row::from(row).int("seq")).transpose()
}

async fn data_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}
