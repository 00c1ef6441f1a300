//! A handle to the tables, and its reads.

use std::sync::{Arc, OnceLock};

use tidegate_cache::{Tag, TieredCache};
use tidegate_perfmon::OperationHandle;

use super::db::{Db, ServerWatch};
use super::error::StoreError;
use super::origins::Origins;
use super::pool::WatchedPool;
use super::sql::Sql;
use super::sql::tenants::INSTALLATION;
use super::value::{Row, Value};
use super::waiting_tasks::WaitingTasks;

/// The tables of one installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) db: Db,
    pub(super) cache: TieredCache,
    pub(super) installation: Arc<str>,
    /// IDs of invalidations that this process has already applied and can skip.
    pub(super) origins: Origins,
    /// Records the duration of changes. Empty until the first `measure_changes`.
    pub(super) changes: Arc<OnceLock<Arc<OperationHandle>>>,
    /// Notified at each commit that has something new for a tenant.
    pub(super) news: WaitingTasks,
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
        self.db.one(&INSTALLATION, &[]).await.map(|_| ())
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
    pub(super) async fn one(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        self.db.insist(|| self.db.one(sql, values)).await
    }

    /// Returns all rows that a statement finds.
    pub(super) async fn all(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.db.insist(|| self.db.all(sql, values)).await
    }

    /// Like [`one`](Self::one), but may read from a replica that has every change under the tag
    /// that this process knows of.
    pub(super) async fn one_of(
        &self,
        tag: &Tag,
        sql: &'static Sql,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        self.db.insist(|| self.db.one_of(tag, sql, values)).await
    }

    /// Like [`all`](Self::all), with the replicas of [`one_of`](Self::one_of).
    pub(super) async fn all_of(
        &self,
        tag: &Tag,
        sql: &'static Sql,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.db.insist(|| self.db.all_of(tag, sql, values)).await
    }

    /// The writer pool of a SQLite store.
    #[cfg(test)]
    pub(super) fn writer(&self) -> &super::pool::Connections<sqlx::Sqlite> {
        match &self.db {
            Db::Sqlite { writer, .. } => writer,
            Db::Postgres(_) => panic!("a test of SQLite"),
        }
    }
}
