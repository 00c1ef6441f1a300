//! A write transaction and the cache entries that it makes stale.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, OnceLock};

use tidegate_cache::{Tag, Touched};
use tidegate_model::cache_keys;
use tidegate_model::tenant::TenantId;
use tidegate_perfmon::OperationHandle;
use tokio::time::Instant;
use tracing::Instrument;

use super::db::Write;
use super::error::StoreError;
use super::purge::{Invalidation, NOBODY, OWED};
use super::sql::Sql;
use super::store::Store;
use super::value::{Row, Value};

/// An open write transaction. Dropping it without [`commit`](Self::commit) rolls it back.
///
/// Every statement names the keys and tags that it touches. The transaction also writes them to the
/// database for other processes. This process invalidates them right after the commit. No writer
/// can omit the invalidation.
#[derive(Debug)]
pub struct Change {
    write: Write,
    store: Store,
    touched: Touched,
    /// Tags of tenants that have new notifications.
    news: HashSet<Tag>,
    time: Time,
}

/// Duration of a change, including the wait for the writer. A dropped change is not recorded.
#[derive(Debug)]
struct Time {
    begun: Instant,
    changes: Arc<OnceLock<Arc<OperationHandle>>>,
}

impl Time {
    fn record(&self) {
        if let Some(changes) = self.changes.get() {
            changes.record(self.begun.elapsed());
        }
    }
}

impl Store {
    /// Opens a write transaction. In SQLite it waits for the previous writer, in this process or
    /// another. For PostgreSQL it retries while the server is unreachable, until the deadline.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be locked or reached in time.
    pub async fn begin(&self) -> Result<Change, StoreError> {
        self.db.insist(|| self.begin_once()).await
    }

    /// Opens a write transaction for a caller that retries the whole transaction itself.
    pub(super) async fn begin_once(&self) -> Result<Change, StoreError> {
        let time = Time { begun: Instant::now(), changes: Arc::clone(&self.changes) };
        // A wait that fails is recorded too.
        let write = self.db.begin().await.inspect_err(|_| time.record())?;
        Ok(Change { write, store: self.clone(), touched: Touched::new(), news: HashSet::new(), time })
    }

    /// Runs one idempotent statement that makes nothing stale, in a separate transaction, with
    /// retries.
    pub(super) async fn write_alone(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.db.insist(|| self.write_once(sql, values)).await
    }

    /// Like [`write_alone`](Self::write_alone), without retries.
    pub(super) async fn write_once(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let mut change = self.begin_once().await?;
        let written = change.run(sql, values, Touched::new()).await?;
        change.commit().await?;
        Ok(written)
    }
}

impl Change {
    /// Runs one statement and records what it makes stale. Returns how many rows it wrote.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] if the statement fails. The change can then only be dropped.
    pub(super) async fn run(
        &mut self,
        sql: &'static Sql,
        values: &[Value<'_>],
        touched: Touched,
    ) -> Result<u64, StoreError> {
        let written = self.write.run(sql, values).await?;
        self.touched.extend(touched);
        Ok(written)
    }

    /// After the commit, every process that follows the tenant's notifications looks for new ones.
    pub(super) fn bring_news(&mut self, tenant: &TenantId) {
        self.news.insert(cache_keys::notifications_of(tenant));
    }

    /// Returns a row under the lock of the change.
    ///
    /// # Errors
    ///
    /// Fails if it can't be read.
    pub(super) async fn one(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        self.write.one(sql, values).await
    }

    /// Returns all rows under the lock of the change.
    ///
    /// # Errors
    ///
    /// Fails if they can't be read.
    pub(super) async fn all(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.write.all(sql, values).await
    }

    /// The connection of the transaction.
    #[cfg(test)]
    pub(super) fn connection(&mut self) -> &mut sqlx::SqliteConnection {
        match &mut self.write {
            Write::Sqlite { transaction, .. } => transaction,
            Write::Postgres(_) => panic!("a test of SQLite"),
        }
    }

    /// Commits, then invalidates.
    ///
    /// Runs to completion even if the caller is cancelled, since a commit without its invalidation
    /// would leave stale entries in this process.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] if the commit fails: nothing was written and nothing is invalidated.
    /// [`StoreError::OutcomeUnknown`] if the outcome is unknown: everything that the change touched
    /// is invalidated.
    pub async fn commit(self) -> Result<(), StoreError> {
        // Until the line after the commit has run, even this process has not invalidated, and a
        // client that saw the new rows through another process may send a request here.
        self.commit_from(NOBODY).await
    }

    /// Like [`commit`](Self::commit), for a write through the cache, which updates the entry of
    /// this process itself. Nothing is invalidated here after a commit. Other processes receive the
    /// invalidation with `origin`.
    ///
    /// # Errors
    ///
    /// See [`commit`](Self::commit).
    pub(super) async fn commit_through(self, origin: i64) -> Result<(), StoreError> {
        self.commit_from(origin).await
    }

    async fn commit_from(self, origin: i64) -> Result<(), StoreError> {
        let commit = async move {
            let Self { mut write, store, touched, news, time } = self;
            let stale = |kind, name| Invalidation { kind, name, class: None };
            let keys = touched.keys().map(|key| stale("key", key.as_str()));
            let tags = touched.tags().chain(&news).map(|tag| stale("tag", tag.as_str()));
            // Five hundred rows of one list touch the same tag. It is written once.
            let invalidations: BTreeSet<_> = keys.chain(tags).collect();
            store.tell(&mut write, invalidations, origin).await?;
            let committed = write.commit().await;
            time.record();
            if !matches!(committed, Ok(()) | Err(StoreError::OutcomeUnknown(_))) {
                return committed;
            }
            store.db.changed(touched.tags());
            news.iter().for_each(|tag| store.news.tell(tag));
            if origin != NOBODY && committed.is_ok() {
                return committed;
            }
            if let Err(owed) = store.cache.invalidate(&touched).await {
                // Not lost: this process keeps it, and the rows above reach every other process.
                if let Some(unlogged) = OWED.count() {
                    tracing::warn!(error = %owed, unlogged, "an invalidation waits until the shared cache is reachable");
                }
            }
            committed
        };
        // In the caller's span, so that its statements are attributed to the request.
        tokio::spawn(commit.in_current_span()).await.unwrap_or(Err(StoreError::CutOff))
    }
}
