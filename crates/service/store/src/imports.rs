//! Progress of imports, updated in the transaction of the rows that it counts.

mod failure;
mod pending;
mod prune;

use serde::Serialize;
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::import::{Chunk, Position};
use tidegate_model::tenant::TenantId;

use super::schedules::new_schedule;
use super::sql::imports::{INSERT_REJECT, MOVE, OPEN, PROGRESS, REJECTS};
use super::value::{Row, Value};
use super::{Activity, Change, Store, StoreError};

pub use failure::{FailedImport, ImportFailure};
pub use pending::Reserved;

/// Progress of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// Start of the next chunk.
    pub next: Position,
    /// Number of rows in the table.
    pub imported: u64,
    /// Number of lines that were rejected.
    pub rejected: u64,
    /// Whether the end of the file was reached.
    pub is_finished: bool,
}

/// A line that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedLine {
    /// Line number in the file, from 1.
    pub line: u64,
    /// Reason.
    pub reason: String,
}

/// Result of writing a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advanced {
    /// The chunk was written. Contains the new progress.
    To(ImportProgress),
    /// Another worker has advanced the import in the meantime. This worker must stop.
    Overtaken,
}

impl Store {
    /// Returns the progress of the job's import. Starts a new import, and reopens one that was
    /// given up.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn open_import(
        &self,
        id: &str,
        tenant: &TenantId,
        start: Position,
    ) -> Result<ImportProgress, StoreError> {
        self.write_alone(&OPEN, &begun(id, tenant, start)).await?;
        let row = self.one(&PROGRESS, &[id.into(), tenant.as_str().into()]).await?;
        let unreadable = || StoreError::Unreadable { table: "import", id: id.to_owned(), column: "tenant_id" };
        let row = row.ok_or_else(unreadable)?;
        let count = |column| count(&row, id, column);
        Ok(ImportProgress {
            next: Position { byte: count("next_byte")?, line: count("next_line")? },
            imported: count("imported")?,
            rejected: count("rejected")?,
            is_finished: row.opt_int("finished_at")?.is_some(),
        })
    }

    /// Writes a chunk that was read at `from.next`, in one transaction with the new position.
    ///
    /// If two workers process the same import (one of them without knowing that its lease is lost),
    /// only one can write each chunk: the position is compared and set.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written. Nothing of the chunk is then stored.
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
        let advance = || async {
            let mut change = self.begin_once().await?;
            if !change.move_import(id, from, to).await? {
                return Ok(Advanced::Overtaken);
            }
            for (line, draft) in &chunk.rows {
                change.insert_schedule(tenant, &new_schedule(draft), Some((id, *line))).await?;
            }
            for reject in &chunk.rejects {
                let values = [id.into(), signed(reject.line()).into(), reject.reason().into()];
                change.run(&INSERT_REJECT, &values, Touched::new()).await?;
            }
            change.note(tenant, Activity::Imported, chunk.rows.len() as u64).await?;
            change.commit().await?;
            Ok(Advanced::To(to))
        };
        self.db.insist(advance).await
    }

    /// Returns the first `limit` rejected lines of an import after line `after`, in order.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn rejected_lines(&self, id: &str, after: u64, limit: u32) -> Result<Vec<RejectedLine>, StoreError> {
        let rows = self.all(&REJECTS, &[id.into(), signed(after).into(), i64::from(limit).into()]).await?;
        rows.iter().map(|row| Ok(RejectedLine { line: count(row, id, "line")?, reason: row.text("reason")? })).collect()
    }
}

impl Change {
    async fn move_import(&mut self, id: &str, from: ImportProgress, to: ImportProgress) -> Result<bool, StoreError> {
        let finished_at = to.is_finished.then(|| clock::now().timestamp_millis());
        let values = [
            signed(to.next.byte).into(),
            signed(to.next.line).into(),
            signed(to.imported).into(),
            signed(to.rejected).into(),
            finished_at.into(),
            finished_at.into(),
            id.into(),
            signed(from.next.byte).into(),
        ];
        Ok(self.run(&MOVE, &values, Touched::new()).await? == 1)
    }
}

/// Returns the parameters of a new import.
fn begun<'a>(id: &'a str, tenant: &'a TenantId, at: Position) -> [Value<'a>; 5] {
    [id.into(), tenant.as_str().into(), signed(at.byte).into(), signed(at.line).into(), clock::now().into()]
}

fn count(row: &Row, id: &str, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(row.int(column)?).map_err(|_| StoreError::Unreadable { table: "import", id: id.to_owned(), column })
}

/// SQLite's integers are signed. No file is longer than they can count.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
