//! Imports: how far each has come, moved in the transaction of the rows that it counts.

mod failure;
mod pending;
mod prune;

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_cache::Touched;

use super::{Change, Store, StoreError};
use crate::clock;
use crate::import::{Chunk, Position};
use crate::tenant::TenantId;

pub use failure::{FailedImport, ImportFailure};

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImportProgress {
    /// Where the next chunk begins.
    pub(crate) next: Position,
    /// Rows in the table.
    pub(crate) imported: u64,
    /// Lines reported as bad.
    pub(crate) rejected: u64,
    /// Whether the end of the file was reached.
    pub(crate) is_finished: bool,
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
pub(crate) enum Advanced {
    /// It is in the tables, and this is how far the import has come.
    To(ImportProgress),
    /// Another worker has moved the import on from where this one stood: this one must stop.
    Overtaken,
}

impl Store {
    /// Where the import of that job stands; starts it when it is new, and opens it again when it was given up.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub(crate) async fn open_import(
        &self,
        id: &str,
        tenant: &TenantId,
        start: Position,
    ) -> Result<ImportProgress, StoreError> {
        let mut change = self.begin().await?;
        let statement = sqlx::query(
            "INSERT INTO import (id, tenant_id, next_byte, next_line, imported, rejected, created_at)
             VALUES (?, ?, ?, ?, 0, 0, ?)
             ON CONFLICT (id) DO UPDATE SET closed_at = NULL, failure = NULL WHERE finished_at IS NULL",
        )
        .bind(id)
        .bind(tenant.as_str())
        .bind(signed(start.byte))
        .bind(signed(start.line))
        .bind(clock::now().timestamp_millis());
        change.execute(statement, Touched::new()).await?;
        change.commit().await?;
        let row = sqlx::query(
            "SELECT next_byte, next_line, imported, rejected, finished_at FROM import WHERE id = ? AND tenant_id = ?",
        )
        .bind(id)
        .bind(tenant.as_str())
        .fetch_optional(&self.reader)
        .await?;
        let unreadable = || StoreError::Unreadable { table: "import", id: id.to_owned(), column: "tenant_id" };
        let row = row.ok_or_else(unreadable)?;
        let count = |column| count(&row, id, column);
        Ok(ImportProgress {
            next: Position { byte: count("next_byte")?, line: count("next_line")? },
            imported: count("imported")?,
            rejected: count("rejected")?,
            is_finished: row.try_get::<Option<i64>, _>("finished_at")?.is_some(),
        })
    }

    /// Puts a chunk that was read at `from.next` into the tables, in one transaction with the new position.
    ///
    /// Two workers that hold the same import (one of them without knowing that its lease is lost) can't both take the
    /// same step: the position is compared and set.
    ///
    /// # Errors
    ///
    /// When the database can't be written: then nothing of the chunk is kept.
    pub(crate) async fn advance_import(
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
            "UPDATE import SET next_byte = ?, next_line = ?, imported = ?, rejected = ?, finished_at = ?, closed_at = ?
             WHERE id = ? AND next_byte = ? AND finished_at IS NULL",
        )
        .bind(signed(to.next.byte))
        .bind(signed(to.next.line))
        .bind(signed(to.imported))
        .bind(signed(to.rejected))
        .bind(finished_at)
        .bind(finished_at)
        .bind(id)
        .bind(signed(from.next.byte));
        Ok(self.execute(statement, Touched::new()).await?.rows_affected() == 1)
    }
}

fn count(row: &SqliteRow, id: &str, column: &'static str) -> Result<u64, StoreError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| StoreError::Unreadable { table: "import", id: id.to_owned(), column })
}

/// SQLite's integers are signed; no file has more bytes than they count.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
