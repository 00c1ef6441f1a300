//! Imports: how far each has come, moved in the transaction of the rows that it counts.

use serde::Serialize;
use sqlx::Row;
use tidegate_cache::Touched;

use super::{Change, Store, StoreError};
use crate::clock;
use crate::import::{Chunk, Position};
use crate::tenant::TenantId;

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// Where the next chunk begins.
    pub next: Position,
    /// Rows in the table.
    pub imported: u64,
    /// Lines reported as bad.
    pub rejected: u64,
    /// Whether the end of the file was reached.
    pub is_finished: bool,
}

/// A line that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advanced {
    /// It is in the tables, and this is how far the import has come.
    To(ImportProgress),
    /// Another worker has moved the import on from where this one stood: this one must stop.
    Overtaken,
}

impl Store {
    /// Where the import of that job stands; starts it when it is new.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn open_import(
        &self,
        id: &str,
        tenant: &TenantId,
        start: Position,
    ) -> Result<ImportProgress, StoreError> {
        let mut change = self.begin().await?;
        let statement = sqlx::query(
            "INSERT INTO import (id, tenant_id, next_byte, next_line, imported, rejected, created_at)
             VALUES (?, ?, ?, ?, 0, 0, ?) ON CONFLICT (id) DO NOTHING",
        )
        .bind(id)
        .bind(tenant.as_str())
        .bind(signed(start.byte))
        .bind(signed(start.line))
        .bind(clock::now().timestamp_millis());
        change.execute(statement, Touched::new()).await?;
        change.commit().await?;
        self.import(id, tenant).await?.ok_or_else(|| StoreError::Unreadable {
            table: "import",
            id: id.to_owned(),
            column: "tenant_id",
        })
    }

    /// Where the tenant's import stands; `None` when it hasn't begun, or is another tenant's.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn import(&self, id: &str, tenant: &TenantId) -> Result<Option<ImportProgress>, StoreError> {
        let row = sqlx::query(
            "SELECT next_byte, next_line, imported, rejected, finished_at FROM import WHERE id = ? AND tenant_id = ?",
        )
        .bind(id)
        .bind(tenant.as_str())
        .fetch_optional(&self.reader)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let count = |column: &'static str| -> Result<u64, StoreError> {
            let value: i64 = row.try_get(column)?;
            u64::try_from(value).map_err(|_| StoreError::Unreadable { table: "import", id: id.to_owned(), column })
        };
        Ok(Some(ImportProgress {
            next: Position { byte: count("next_byte")?, line: count("next_line")? },
            imported: count("imported")?,
            rejected: count("rejected")?,
            is_finished: row.try_get::<Option<i64>, _>("finished_at")?.is_some(),
        }))
    }

    /// Puts a chunk that was read at `from.next` into the tables, in one transaction with the new position.
    ///
    /// Two workers that hold the same import (one of them without knowing that its lease is lost) can't both take the
    /// same step: the position is compared and set.
    ///
    /// # Errors
    ///
    /// When the database can't be written: then nothing of the chunk is kept.
    pub async fn advance_import(
        &self,
        id: &str,
        tenant: &TenantId,
        from: ImportProgress,
        chunk: &Chunk,
    ) -> Result<Advanced, StoreError> {
        let to = ImportProgress {
            next: chunk.end,
            imported: from.imported + chunk.rows.len() as u64,
            rejected: from.rejected + chunk.rejects.len() as u64,
            is_finished: chunk.finished,
        };
        let mut change = self.begin().await?;
        if !change.move_import(id, from, to).await? {
            return Ok(Advanced::Overtaken);
        }
        for (line, draft) in &chunk.rows {
            change.insert_schedule(tenant, draft, Some((id, *line))).await?;
        }
        for reject in &chunk.rejects {
            let statement = sqlx::query("INSERT INTO import_reject (import_id, line, reason) VALUES (?, ?, ?)")
                .bind(id)
                .bind(signed(reject.line()))
                .bind(reject.reason());
            change.execute(statement, Touched::new()).await?;
        }
        change.commit().await?;
        Ok(Advanced::To(to))
    }

    /// The first `limit` bad lines of an import behind line `after`, in order.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn rejected_lines(&self, id: &str, after: u64, limit: u32) -> Result<Vec<RejectedLine>, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT line, reason FROM import_reject WHERE import_id = ? AND line > ? ORDER BY line LIMIT ?",
        )
        .bind(id)
        .bind(signed(after))
        .bind(limit)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(|(line, reason)| RejectedLine { line: line.unsigned_abs(), reason }).collect())
    }
}

impl Change {
    async fn move_import(&mut self, id: &str, from: ImportProgress, to: ImportProgress) -> Result<bool, StoreError> {
        let finished_at = to.is_finished.then(|| clock::now().timestamp_millis());
        let statement = sqlx::query(
            "UPDATE import SET next_byte = ?, next_line = ?, imported = ?, rejected = ?, finished_at = ?
             WHERE id = ? AND next_byte = ? AND finished_at IS NULL",
        )
        .bind(signed(to.next.byte))
        .bind(signed(to.next.line))
        .bind(signed(to.imported))
        .bind(signed(to.rejected))
        .bind(finished_at)
        .bind(id)
        .bind(signed(from.next.byte));
        Ok(self.execute(statement, Touched::new()).await?.rows_affected() == 1)
    }
}

/// SQLite's integers are signed; no file has more bytes than they count.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tidegate_cache::TieredCache;
    use tidegate_ratelimit::{Overrides, Tier};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::import::{Format, Rows};
    use crate::tenant::{ApiKey, Plan, Tenant};

    const FILE: &str = "title,starts_at,ends_at,recurrence,attendees
one,2030-01-01T09:00:00Z,2030-01-01T10:00:00Z,,
bad,never,2030-01-01T10:00:00Z,,
two,2030-01-02T09:00:00Z,2030-01-02T10:00:00Z,,
";

    async fn store() -> (tempfile::TempDir, Store, TenantId) {
        let directory = tempfile::tempdir().unwrap();
        let cache = TieredCache::builder().build();
        let path = directory.path().join("tidegate.db");
        let (store, _) = Store::open(&path, cache, CancellationToken::new()).await.unwrap();
        let id: TenantId = "acme".parse().unwrap();
        let plan = Plan::try_new(Tier::Free, Overrides::default()).unwrap();
        let tenant = Tenant { id: id.clone(), name: "Acme".to_owned(), plan, created_at: clock::now() };
        store.create_tenant(&tenant, &ApiKey::generate()).await.unwrap();
        (directory, store, id)
    }

    fn rows(from: Position) -> Rows<Cursor<&'static [u8]>> {
        Rows::open(Cursor::new(FILE.as_bytes()), Format::Csv, from).unwrap()
    }

    #[tokio::test]
    async fn of_two_workers_at_one_position_only_one_takes_the_step() {
        let (_directory, store, tenant) = store().await;
        let start = store.open_import("job", &tenant, Position::START).await.unwrap();
        let chunk = rows(start.next).next_chunk(2).unwrap();
        let first = store.advance_import("job", &tenant, start, &chunk).await.unwrap();
        let second = store.advance_import("job", &tenant, start, &chunk).await.unwrap();
        assert!(matches!(first, Advanced::To(ImportProgress { imported: 1, rejected: 1, is_finished: false, .. })));
        assert_eq!(second, Advanced::Overtaken);
        assert_eq!(store.count_schedules(&tenant).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn an_import_goes_on_where_the_last_commit_stands() {
        let (_directory, store, tenant) = store().await;
        let mut progress = store.open_import("job", &tenant, Position::START).await.unwrap();
        while !progress.is_finished {
            // Everything that a killed worker held is gone: only what is in the table is known.
            progress = store.open_import("job", &tenant, Position::START).await.unwrap();
            let chunk = rows(progress.next).next_chunk(1).unwrap();
            match store.advance_import("job", &tenant, progress, &chunk).await.unwrap() {
                Advanced::To(next) => progress = next,
                Advanced::Overtaken => panic!("nobody else is here"),
            }
        }
        assert_eq!((progress.imported, progress.rejected), (2, 1));
        assert_eq!(store.count_schedules(&tenant).await.unwrap(), 2);
        let rejects = store.rejected_lines("job", 0, 10).await.unwrap();
        assert_eq!(rejects.iter().map(|reject| reject.line).collect::<Vec<_>>(), [3]);
        let again = store.advance_import("job", &tenant, progress, &rows(progress.next).next_chunk(1).unwrap()).await;
        assert_eq!(again.unwrap(), Advanced::Overtaken, "a finished import takes no step");
    }

    #[tokio::test]
    async fn another_tenant_sees_no_import() {
        let (_directory, store, tenant) = store().await;
        store.open_import("job", &tenant, Position::START).await.unwrap();
        let other: TenantId = "other".parse().unwrap();
        assert_eq!(store.import("job", &other).await.unwrap(), None);
    }
}
