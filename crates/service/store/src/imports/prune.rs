//! Removes imports whose job is gone, which can't be queried any more.

use chrono::{DateTime, Utc};

use crate::sql::imports::{OLD, REMOVE, REMOVE_REJECTS};
use crate::{Store, StoreError};

/// Number of rejected lines that one transaction removes. Other writers can run between
/// transactions.
const REJECTS_AT_A_TIME: i64 = 1000;

/// An import as the sweep sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldImport {
    /// Id of the job.
    pub id: String,
    /// Whether it no longer counts as pending.
    pub is_closed: bool,
}

impl Store {
    /// Returns the first `limit` imports that were admitted before `before`, after id `after`, in
    /// order of their ids.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn old_imports(
        &self,
        before: DateTime<Utc>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<OldImport>, StoreError> {
        let rows = self.all(&OLD, &[after.into(), before.into(), i64::from(limit).into()]).await?;
        rows.iter()
            .map(|row| Ok(OldImport { id: row.text("id")?, is_closed: row.opt_int("closed_at")?.is_some() }))
            .collect()
    }

    /// Removes an import and its rejected lines. Its schedules stay.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written. Lines that were already removed stay removed.
    pub async fn remove_import(&self, id: &str) -> Result<(), StoreError> {
        loop {
            if self.write_alone(&REMOVE_REJECTS, &[id.into(), REJECTS_AT_A_TIME.into()]).await? == 0 {
                self.write_alone(&REMOVE, &[id.into()]).await?;
                return Ok(());
            }
        }
    }
}
