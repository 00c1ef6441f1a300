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
    /// Mark the invalidations on which this process has acted already, which it need not act on
    /// again.
    origins: Origins,
    /// Where the time of changes is recorded, once somebody wants it.
    changes: Arc<OnceLock<Arc<OperationHandle>>>,
    /// Whom a commit tells that there is something new for a tenant.
    news: News,
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
    /// There are as many as there may be.
    #[error("there are {most} {what} already, which is as many as there may be")]
    Full {
        /// What kind of thing, of which there are several.
        what: &'static str,
        /// How many there may be.
        most: u64,
    },
    /// The process is ending and the commit's outcome was not seen.
    #[error("the commit was cut off by the end of the process")]
    CutOff,
    /// The database was lost while it committed: it may have, and may not.
    #[error("the database was lost during a commit, whose outcome is not known: {0}")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The file was deleted, moved or replaced while it was open: what is written to it would
    /// vanish with the process.
    #[error("database: {0}")]
    Gone(#[source] std::io::Error),
    /// A statement of the transaction had failed before its commit.
    #[error("a transaction was given up when one of its statements failed")]
    RolledBack,
}

/// Lets one line in ten seconds say that the shared cache is owed an invalidation: in an outage
/// each write owes one.
static OWED: Seldom = Seldom::new(Duration::from_secs(10));

/// Characters of a code of PostgreSQL.
const SQLSTATE: usize = 5;

impl StoreError {
    /// Whether trying again later may help: the database was away, busy, or its disk full. Where it is not known whether a commit
    /// has happened, whoever tries again looks first.
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
            // SQLite's are shorter. The low byte is the primary code; the rest only says more.
            Ok(number) if code.len() < SQLSTATE => matches!(number & 0xff, BUSY | LOCKED | FULL),
            _ => db::is_busy(&code),
        })
    }

    /// Whether the database was away, and surely has done nothing.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Database(error) if db::is_lost(error))
    }
}

impl Store {
    /// Tells this database from any other, for ever.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// The cache in front of the tables.
    pub fn cache(&self) -> &TieredCache {
        &self.cache
    }

    /// A watch over the database server. `None` on SQLite.
    pub fn server_watch(&self) -> Option<ServerWatch> {
        self.db.server_watch()
    }

    /// Records the time of each change from now on. The first call counts.
    pub fn measure_changes(&self, changes: Arc<OperationHandle>) {
        // A second call finds the first's.
        let _ = self.changes.set(changes);
    }

    /// Makes connections with the login that the URLs of the server have now.
    pub fn log_in_anew(&self) {
        self.db.log_in_anew();
    }

    /// The pools of connections.
    pub fn pools(&self) -> Vec<WatchedPool> {
        self.db.pools()
    }

    /// Closes every connection, after the statements in flight.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Whether the database answers now.
    ///
    /// # Errors
    ///
    /// When it doesn't.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.ensure_in_place()?;
        self.db.one(&sql::tenants::INSTALLATION, &[]).await.map(|_| ())
    }

    /// Fails if the database is a file that was deleted, moved or replaced while it is open. Each
    /// write asks this first.
    ///
    /// # Errors
    ///
    /// [`StoreError::Gone`], with the path.
    pub fn ensure_in_place(&self) -> Result<(), StoreError> {
        self.db.ensure_in_place()
    }

    /// The row that a statement finds.
    async fn one(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        self.db.insist(|| self.db.one(sql, values)).await
    }

    /// All rows that a statement finds.
    async fn all(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.db.insist(|| self.db.all(sql, values)).await
    }

    /// As [`one`](Self::one), of whatever server has all that this process knows to have changed under the tag.
    async fn one_of(&self, tag: &Tag, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        self.db.insist(|| self.db.one_of(tag, sql, values)).await
    }

    /// As [`all`](Self::all), and [`one_of`](Self::one_of).
    async fn all_of(&self, tag: &Tag, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.db.insist(|| self.db.all_of(tag, sql, values)).await
    }

    /// The writer of a SQLite store.
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
