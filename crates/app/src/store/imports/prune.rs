//! Removes imports whose job is gone: nobody can ask for them any more.

use chrono::{DateTime, Utc};
use tidegate_cache::Touched;

use crate::store::{Store, StoreError};

/// Bad lines that one transaction removes, so that other writers get their turn between.
const REJECTS_AT_A_TIME: i64 = 1000;

/// An import as the sweep sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OldImport {
    /// The job's id.
    pub(crate) id: String,
    /// Whether it counts no more as pending.
    pub(crate) is_closed: bool,
}

impl Store {
    /// The first `limit` imports that were admitted before `before`, behind id `after`, in order of their ids.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub(crate) async fn old_imports(
        &self,
        before: DateTime<Utc>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<OldImport>, StoreError> {
        let rows: Vec<(String, bool)> = sqlx::query_as(
            "SELECT id, closed_at IS NOT NULL FROM import WHERE id > ? AND created_at < ? ORDER BY id LIMIT ?",
        )
        .bind(after)
        .bind(before.timestamp_millis())
        .bind(limit)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(|(id, is_closed)| OldImport { id, is_closed }).collect())
    }

    /// Removes an import and its bad lines. Its schedules stay.
    ///
    /// # Errors
    ///
    /// When the database can't be written; what was removed by then is gone.
    pub(crate) async fn remove_import(&self, id: &str) -> Result<(), StoreError> {
        loop {
            let mut change = self.begin().await?;
            let statement = sqlx::query(
                "DELETE FROM import_reject WHERE import_id = ?1 AND line IN
                 (SELECT line FROM import_reject WHERE import_id = ?1 ORDER BY line LIMIT ?2)",
            )
            .bind(id)
            .bind(REJECTS_AT_A_TIME);
            let removed = change.execute(statement, Touched::new()).await?.rows_affected();
            if removed == 0 {
                change.execute(sqlx::query("DELETE FROM import WHERE id = ?").bind(id), Touched::new()).await?;
            }
            change.commit().await?;
            if removed == 0 {
                return Ok(());
            }
        }
    }
}
