//! A write, and what it makes stale.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, OnceLock};

use tidegate_cache::{Tag, Touched};
use tidegate_model::cache_keys;
use tidegate_model::tenant::TenantId;
use tidegate_perfmon::OperationHandle;
use tokio::time::Instant;
use tracing::Instrument;

use super::db::Write;
use super::purge::{Invalidation, NOBODY};
use super::sql::Sql;
use super::value::{Row, Value};
use super::{OWED, Store, StoreError};

/// An open write transaction. Dropped without [`commit`](Self::commit), it never was.
///
/// Every statement names the keys and tags that it touches. They are written beside the rows, in the same
/// transaction, for other processes, and acted on in this process right after the commit: no writer can forget it.
#[derive(Debug)]
pub struct Change {
    write: Write,
    store: Store,
    touched: Touched,
    /// Tenants whom it tells something.
    news: HashSet<Tag>,
    time: Time,
}

/// The time of a change, from the wait for the writer's place on. One that was dropped is none.
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
    /// Opens a write. In SQLite it waits for the writer before it, in this process or another; a PostgreSQL that is away is
    /// waited for.
    ///
    /// # Errors
    ///
    /// When the database can't be locked or reached in time.
    pub async fn begin(&self) -> Result<Change, StoreError> {
        self.db.insist(|| self.begin_once()).await
    }

    /// Opens a write for whoever tries all of it again by itself.
    pub(super) async fn begin_once(&self) -> Result<Change, StoreError> {
        let time = Time { begun: Instant::now(), changes: Arc::clone(&self.changes) };
        // Whoever waits in vain has waited too.
        let write = self.db.begin().await.inspect_err(|_| time.record())?;
        Ok(Change { write, store: self.clone(), touched: Touched::new(), news: HashSet::new(), time })
    }

    /// One statement that makes nothing stale, in a transaction of its own, and which may be run once more.
    pub(super) async fn write_alone(&self, sql: &'static Sql, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let write = || async {
            let mut change = self.begin_once().await?;
            let written = change.run(sql, values, Touched::new()).await?;
            change.commit().await?;
            Ok(written)
        };
        self.db.insist(write).await
    }
}

impl Change {
    /// Runs one statement and notes what it makes stale. Returns how many rows it wrote.
    ///
    /// # Errors
    ///
    /// When the statement fails; the change can then only be dropped.
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

    /// Once it is committed, whoever follows the tenant's notices looks for new ones, in each process.
    pub(super) fn bring_news(&mut self, tenant: &TenantId) {
        self.news.insert(cache_keys::notifications_of(tenant));
    }

    /// A row as it is under the lock of the change.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    pub(super) async fn one(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Option<Row>, StoreError> {
        self.write.one(sql, values).await
    }

    /// All rows as they are under the lock of the change.
    ///
    /// # Errors
    ///
    /// When they can't be read.
    pub(super) async fn all(&mut self, sql: &'static Sql, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        self.write.all(sql, values).await
    }

    /// The connection of the change.
    #[cfg(test)]
    pub(super) fn connection(&mut self) -> &mut sqlx::SqliteConnection {
        match &mut self.write {
            Write::Sqlite { transaction, .. } => transaction,
            Write::Postgres(_) => panic!("a test of SQLite"),
        }
    }

    /// Commits, then invalidates.
    ///
    /// Runs to its end even when the caller is cancelled, since a commit without its invalidation would leave this
    /// process with stale entries.
    ///
    /// # Errors
    ///
    /// When the commit fails: nothing was written and nothing is invalidated. [`StoreError::OutcomeUnknown`] where that is not
    /// known; then all that it touched is invalidated.
    pub async fn commit(self) -> Result<(), StoreError> {
        // Until the line behind the commit has run, even this process has not acted on it, and a
        // client may ask here that has seen the new rows through another process.
        self.commit_from(NOBODY).await
    }

    /// As [`commit`](Self::commit), within a write through the cache, which sees to what this
    /// process holds: after a commit nothing is invalidated here. Other processes hear that the
    /// invalidation comes from `origin`.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub(super) async fn commit_through(self, origin: i64) -> Result<(), StoreError> {
        self.commit_from(origin).await
    }

    async fn commit_from(self, origin: i64) -> Result<(), StoreError> {
        let commit = async move {
            let Self { mut write, store, touched, news, time } = self;
            let stale = |kind, name| Invalidation { kind, name, class: None };
            let keys = touched.keys().map(|key| stale("key", key.as_str()));
            let tags = touched.tags().chain(&news).map(|tag| stale("tag", tag.as_str()));
            // Five hundred rows of one list touch one tag: it is written once.
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
                // Not lost: this process keeps it, and the rows above tell every other one.
                if let Some(unlogged) = OWED.count() {
                    tracing::warn!(error = %owed, unlogged, "an invalidation waits until the shared cache can be told");
                }
            }
            committed
        };
        // In the caller's span, so that its statements count as the request's.
        tokio::spawn(commit.in_current_span()).await.unwrap_or(Err(StoreError::CutOff))
    }
}
