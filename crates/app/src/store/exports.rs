//! Exports: which are under way, and which file came of each.

use chrono::{DateTime, Utc};

use super::files::StoredFile;
use super::sql::exports::{CLOSE, FILE_OF, FINISH, OLD, OPEN, PENDING, REMOVE, RESERVE};
use super::sql::tenants::TENANT_TO_CHANGE;
use super::{Store, StoreError};
use crate::clock;
use crate::files::FileId;
use crate::tenant::TenantId;
use tidegate_cache::Touched;

/// An export as the sweep sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OldExport {
    /// The job's id.
    pub(crate) id: String,
    /// When it was admitted.
    pub(crate) created_at: DateTime<Utc>,
    /// Whether it counts no more as pending.
    pub(crate) is_closed: bool,
}

impl Store {
    /// Takes a place for an export, unless the tenant has `most` under way. Whether it did.
    ///
    /// Count and insert are one transaction: of requests that come together no two get the last place.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub(crate) async fn reserve_export(&self, id: &str, tenant: &TenantId, most: u32) -> Result<bool, StoreError> {
        let reserve = || async {
            let mut change = self.begin_once().await?;
            change.one(&TENANT_TO_CHANGE, &[tenant.as_str().into()]).await?;
            let pending = change.all(&PENDING, &[tenant.as_str().into()]).await?;
            if pending.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
                return Ok(false);
            }
            change.run(&RESERVE, &[id.into(), tenant.as_str().into(), clock::now().into()], Touched::new()).await?;
            change.commit().await?;
            Ok(true)
        };
        self.db.insist(reserve).await
    }

    /// The tenant's exports that count as under way, and since when.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub(crate) async fn pending_exports(&self, tenant: &TenantId) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
        let rows = self.all(&PENDING, &[tenant.as_str().into()]).await?;
        rows.iter().map(|row| Ok((row.text("id")?, row.time("created_at")?))).collect()
    }

    /// Begins a run of an export: the file that an earlier run of it has made, if one has.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub(crate) async fn open_export(&self, id: &str, tenant: &TenantId) -> Result<Option<FileId>, StoreError> {
        self.write_alone(&OPEN, &[id.into(), tenant.as_str().into(), clock::now().into()]).await?;
        self.file_of_export(id).await
    }

    /// The file that came of an export.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub(crate) async fn file_of_export(&self, id: &str) -> Result<Option<FileId>, StoreError> {
        let Some(row) = self.one(&FILE_OF, &[id.into()]).await? else { return Ok(None) };
        let unreadable = || StoreError::Unreadable { table: "export_run", id: id.to_owned(), column: "file_id" };
        row.opt_text("file_id")?.map(|file| file.parse().map_err(|_| unreadable())).transpose()
    }

    /// Enters the file of an export, in one transaction with its end. `false` where another run of it was there first.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub(crate) async fn finish_export(&self, id: &str, file: &StoredFile) -> Result<bool, StoreError> {
        let finish = || async {
            let mut change = self.begin_once().await?;
            let values = [file.at.id.to_string().into(), clock::now().into(), id.into()];
            if change.run(&FINISH, &values, Touched::new()).await? == 0 {
                return Ok(false);
            }
            change.insert_file(file).await?;
            change.commit().await?;
            Ok(true)
        };
        match self.db.insist(finish).await {
            // The id of the file is this run's alone: whoever finds it entered has entered it.
            Err(StoreError::OutcomeUnknown(_)) => {
                Ok(self.db.insist(finish).await? || self.file_of_export(id).await? == Some(file.at.id))
            }
            finished => finished,
        }
    }

    /// Notes that nobody works on the export any more.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub(crate) async fn close_export(&self, id: &str) -> Result<(), StoreError> {
        self.write_alone(&CLOSE, &[clock::now().into(), id.into()]).await.map(|_| ())
    }

    /// Forgets an export. Its file stays.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub(crate) async fn remove_export(&self, id: &str) -> Result<(), StoreError> {
        self.write_alone(&REMOVE, &[id.into()]).await.map(|_| ())
    }

    /// The first `limit` exports that were admitted before `before`, behind `after`, in order of their age.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub(crate) async fn old_exports(
        &self,
        before: DateTime<Utc>,
        after: Option<&OldExport>,
        limit: u32,
    ) -> Result<Vec<OldExport>, StoreError> {
        let behind = after.map_or(i64::MIN, |after| after.created_at.timestamp_millis());
        let id = after.map(|after| after.id.as_str()).unwrap_or_default();
        let rows = self.all(&OLD, &[before.into(), behind.into(), id.into(), i64::from(limit).into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(OldExport {
                    id: row.text("id")?,
                    created_at: row.time("created_at")?,
                    is_closed: row.opt_int("closed_at")?.is_some(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests;
