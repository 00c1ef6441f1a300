//! The application's tables, in SQLite or PostgreSQL.
//!
//! **It holds** [`Store`], which has a method for each read; [`Change`], through which every write
//! goes; the statements (`sql`), the migrations, the pools, the replicas and the failover;
//! [`Coherence`], which drops from this process's cache what other processes changed; the rows of a
//! backup (`dump`); and the hand-over of notifications to their followers ([`notify`]).
//!
//! **It must not hold** rules of the domain, which are in `tidegate-model` and `tidegate-domain`,
//! nor HTTP. It does not know which route or job calls it. No other crate runs a statement on these
//! tables.
//!
//! **Start reading** at `change.rs`: every statement of a write names what it makes stale, and the
//! caches hear of it if and only if the write is committed. Then read `schedules.rs` as an example
//! of a table. `db.rs` is the one place that knows which of the two databases it is; `open` and
//! `coherence` have the rest of the difference.

mod alerts;
mod analytics;
mod change;
mod coherence;
#[cfg(test)]
mod conformance;
mod db;
mod dump;
#[cfg(test)]
mod failover;
mod files;
#[cfg(test)]
mod following;
#[cfg(test)]
mod ground;
mod imports;
#[cfg(test)]
mod in_place;
mod keys;
mod migrations;
mod news;
mod notice;
mod notifications;
pub mod notify;
mod open;
mod origins;
mod pool;
mod preferences;
mod prune;
mod purge;
mod reminders;
mod reports;
pub mod running;
mod runs;
mod schedules;
mod sessions;
mod snapshot;
mod sql;
mod tenants;
mod users;
mod value;
mod webhooks;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_base::Seldom;
use tidegate_cache::{Tag, TieredCache};
use tidegate_perfmon::OperationHandle;
use tidegate_settings::DatabaseUrl;

pub use alerts::{AlertReport, AlertSender, AlertState, ReportChange, StateChange};
pub use analytics::Activity;
pub use analytics::{Tally, Views};
pub use change::Change;
pub use coherence::{Coherence, Lost, WatchEnded};
use db::Db;
pub use db::{ReplicaState, ServerState, ServerWatch};
pub use dump::TargetError;
pub use dump::{Cells, Inserts, PAGE, Present, TABLES, Table, Target};
pub use files::StoredFile;
pub use imports::{Advanced, ImportProgress, Reserved};
pub use imports::{FailedImport, ImportFailure, RejectedLine};
pub use keys::{KeyInfo, MOST_KEYS};
pub(crate) use news::Following;
use news::News;
pub use notifications::NewNotification;
pub use notifications::{Ends, Notification};
pub use open::{OpenError, ServerError, ServerFault};
use origins::Origins;
pub use pool::{PoolState, WatchedPool};
pub use purge::{Purge, RowError};
pub use reminders::{DueSchedule, Occurring, PendingReminder, SentReminder};
pub use reports::{Named, Sum};
pub use runs::Made;
pub use schedules::{Creation, Cursor, CursorError, Page, Schedule};
pub use snapshot::Snapshot;
use sql::Sql;
pub use tenants::TenantPage;
pub use users::UserPage;
use value::{Row, Value};
pub use webhooks::Webhook;

/// The tables of one installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    cache: TieredCache,
    installation: Arc<str>,
    /// IDs of invalidations that this process has already applied and can skip.
    origins: Origins,
    /// Records the duration of changes. Empty until the first `measure_changes`.
    changes: Arc<OnceLock<Arc<OperationHandle>>>,
    /// Notified at each commit that has something new for a tenant.
    news: News,
}

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database refused the statement or did not answer.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A row has a value that this version can't read.
    #[error("{table} `{id}` in the database holds an unreadable {column}")]
    Unreadable {
        /// Table of the row.
        table: &'static str,
        /// Key of the row.
        id: String,
        /// Column that can't be read.
        column: &'static str,
    },
    /// An invalidation is not a valid key or tag.
    #[error("the database holds an unreadable invalidation: {0}")]
    Invalidation(#[from] RowError),
    /// The record to create already exists.
    #[error("{what} `{id}` exists already")]
    Exists {
        /// Kind of the record.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The limit on the number of records is reached.
    #[error("there are {most} {what} already, which is as many as there may be")]
    Full {
        /// Kind of the records, in the plural.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// The process was ending before the outcome of the commit was known.
    #[error("the commit was cut off by the end of the process")]
    CutOff,
    /// The database was lost during the commit. The transaction may or may not be committed.
    #[error("the database was lost during a commit, whose outcome is not known: {0}")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The file was deleted, moved or replaced while it was open. Anything written to it would be
    /// lost when the process ends.
    #[error("database: {0}")]
    Gone(#[source] std::io::Error),
    /// A statement of the transaction failed before the commit.
    #[error("a transaction was given up when one of its statements failed")]
    RolledBack,
}

/// Limits the log lines about invalidations that the shared cache still has to receive to one in
/// ten seconds. During an outage, each write adds such an invalidation.
static OWED: Seldom = Seldom::new(Duration::from_secs(10));

/// Length of a PostgreSQL error code.
const SQLSTATE: usize = 5;

impl StoreError {
    /// Whether a later retry may succeed: the database was unreachable, busy, or its disk was full.
    /// If the outcome of a commit is unknown, the caller must check it before a retry.
    pub fn is_transient(&self) -> bool {
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        const FULL: i32 = 13;
        if self.is_lost() || matches!(self, Self::Gone(_)) {
            return true;
        }
        let Self::Database(error) = self else { return matches!(self, Self::OutcomeUnknown(_)) };
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.is_some_and(|code| match code.parse::<i32>() {
            // SQLite's codes are shorter. The low byte is the primary code.
            Ok(number) if code.len() < SQLSTATE => matches!(number & 0xff, BUSY | LOCKED | FULL),
            _ => db::is_busy(&code),
        })
    }

    /// Whether the database was unreachable and has certainly changed nothing.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Database(error) if db::is_lost(error))
    }
}

impl Store {
    /// Permanent, globally unique id of this database.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// The cache in front of the tables.
    pub fn cache(&self) -> &TieredCache {
        &self.cache
    }

    /// Returns a watch on the database server. `None` for SQLite.
    pub fn server_watch(&self) -> Option<ServerWatch> {
        self.db.server_watch()
    }

    /// Records the duration of each change from now on. Only the first call has an effect.
    pub fn measure_changes(&self, changes: Arc<OperationHandle>) {
        // `set` fails in a second call: the first handle stays.
        let _ = self.changes.set(changes);
    }

    /// Uses the current login of the server URLs for new connections.
    pub fn log_in_anew(&self) {
        self.db.log_in_anew();
    }

    /// The connection pools.
    pub fn pools(&self) -> Vec<WatchedPool> {
        self.db.pools()
    }

    /// Closes every connection after the running statements have ended.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] if it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.ensure_in_place()?;
        self.db.one(&sql::tenants::INSTALLATION, &[]).await.map(|_| ())
    }

    /// Checks that the database file was not deleted, moved or replaced while it is open. Each
    /// write calls this first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Gone`], with the path.
    pub fn ensure_in_place(&self) -> Result<(), StoreError> {
        self.db.ensure_in_place()
    }

    /// Returns the row that a statement finds.
    async fn one(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        self.db.insist(|| self.db.one(sql, values)).await
    }

    /// Returns all rows that a statement finds.
    async fn all(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.db.insist(|| self.db.all(sql, values)).await
    }

    /// Like [`one`](Self::one), but may read from a replica that has every change under the tag
    /// that this process knows of.
    async fn one_of(&self, tag: &Tag, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        self.db.insist(|| self.db.one_of(tag, sql, values)).await
    }

    /// Like [`all`](Self::all), with the replicas of [`one_of`](Self::one_of).
    async fn all_of(&self, tag: &Tag, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.db.insist(|| self.db.all_of(tag, sql, values)).await
    }

    /// The writer pool of a SQLite store.
    #[cfg(test)]
    fn writer(&self) -> &pool::Connections<sqlx::Sqlite> {
        match &self.db {
            Db::Sqlite { writer, .. } => writer,
            Db::Postgres(_) => panic!("a test of SQLite"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Connection, SqliteConnection};

    use super::StoreError;

    async fn fail(connection: &mut SqliteConnection, statement: &'static str) -> StoreError {
        sqlx::query(statement).execute(connection).await.unwrap_err().into()
    }

    #[tokio::test]
    async fn a_busy_and_a_full_database_pass_and_a_wrong_statement_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("any.db");
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(Duration::ZERO);
        let mut one = options.connect().await.unwrap();
        let mut other = options.connect().await.unwrap();
        let held = one.begin_with("BEGIN IMMEDIATE").await.unwrap();
        assert!(fail(&mut other, "BEGIN IMMEDIATE").await.is_transient(), "busy");
        drop(held);

        for statement in ["CREATE TABLE t (x)", "PRAGMA max_page_count = 3"] {
            sqlx::query(statement).execute(&mut one).await.unwrap();
        }
        assert!(fail(&mut one, "INSERT INTO t VALUES (zeroblob(1000000))").await.is_transient(), "full");

        assert!(!fail(&mut one, "INSERT INTO nothing VALUES (1)").await.is_transient(), "wrong");
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_transient());
        assert!(!StoreError::from(sqlx::Error::RowNotFound).is_transient());
        assert!(!StoreError::CutOff.is_transient());
        assert!(StoreError::OutcomeUnknown(sqlx::Error::PoolTimedOut).is_transient());
        assert!(!StoreError::OutcomeUnknown(sqlx::Error::PoolTimedOut).is_lost(), "never blindly again");
    }
}
