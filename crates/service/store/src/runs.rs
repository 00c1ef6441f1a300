//! Runs that make files of a kind for a tenant: which are pending, and their results. Each kind has
//! a separate limit.

use chrono::{DateTime, Utc};
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::file::{FileId, FileKind};
use tidegate_model::tenant::TenantId;

use super::files::StoredFile;
use super::sql::runs::{CLOSE, FILES_OF, FINISH, OLD, OPEN, PENDING, RELEASE, REMOVE};
use super::sql::tenants::TENANT_TO_CHANGE;
use super::value::Value;
use super::{Reserved, Store, StoreError};

/// The files of a run: one, or a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFiles<T> {
    /// The only file, or the first of a pair.
    pub first: T,
    /// The second file of a pair.
    pub second: Option<T>,
}

impl<T> RunFiles<T> {
    /// Makes a value of one file.
    pub fn one(file: T) -> Self {
        Self { first: file, second: None }
    }

    /// Makes a value of a pair of files.
    pub fn pair(first: T, second: T) -> Self {
        Self { first, second: Some(second) }
    }

    /// Iterates over the files.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

/// A run as the sweep sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldRun {
    /// Id of the job.
    pub id: String,
    /// Kind of its files.
    pub kind: FileKind,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// Whether it no longer counts as pending.
    pub is_closed: bool,
}

impl Store {
    /// Reserves a run, unless the tenant has `most` pending runs of its kind.
    ///
    /// The count and the insert are one transaction, so concurrent requests can't exceed the limit.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn reserve_run(
        &self,
        id: &str,
        tenant: &TenantId,
        kind: FileKind,
        most: u32,
    ) -> Result<Reserved, StoreError> {
        let reserve = || async {
            let mut change = self.begin_once().await?;
            change.one(&TENANT_TO_CHANGE, &[tenant.as_str().into()]).await?;
            let pending = change.all(&PENDING, &[tenant.as_str().into(), kind.name().into()]).await?;
            for run in &pending {
                // A repeated request keeps its reservation.
                if run.text("id")? == id {
                    return Ok(Reserved::Found);
                }
            }
            if pending.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
                return Ok(Reserved::Full);
            }
            change.run(&OPEN, &begun(id, tenant, kind), Touched::new()).await?;
            change.commit().await?;
            Ok(Reserved::New)
        };
        self.db.insist(reserve).await
    }

    /// Returns the tenant's pending runs of that kind, and when each was admitted.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn pending_runs(
        &self,
        tenant: &TenantId,
        kind: FileKind,
    ) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
        let rows = self.all(&PENDING, &[tenant.as_str().into(), kind.name().into()]).await?;
        rows.iter().map(|row| Ok((row.text("id")?, row.time("created_at")?))).collect()
    }

    /// Starts a run. Returns the files of an earlier run of the same job, if it has made any.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn open_run(
        &self,
        id: &str,
        tenant: &TenantId,
        kind: FileKind,
    ) -> Result<Option<RunFiles<FileId>>, StoreError> {
        self.write_alone(&OPEN, &begun(id, tenant, kind)).await?;
        self.files_of_run(id).await
    }

    /// Returns the files of a run. `None` if it has made none.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn files_of_run(&self, id: &str) -> Result<Option<RunFiles<FileId>>, StoreError> {
        let Some(row) = self.one(&FILES_OF, &[id.into()]).await? else { return Ok(None) };
        let read = |column: &'static str| {
            let unreadable = || StoreError::Unreadable { table: "export_run", id: id.to_owned(), column };
            row.opt_text(column)?.map(|file| file.parse().map_err(|_| unreadable())).transpose()
        };
        let second = read("second_file_id")?;
        Ok(read("file_id")?.map(|first| RunFiles { first, second }))
    }

    /// Records the files of a run, in one transaction with its end. Returns `false` if another run
    /// of the same job was first.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn finish_run(&self, id: &str, made: &RunFiles<StoredFile>) -> Result<bool, StoreError> {
        let finish = || async {
            let mut change = self.begin_once().await?;
            let id_of = |file: &StoredFile| file.at.id.to_string();
            let (first, second) = (id_of(&made.first), made.second.as_ref().map(id_of));
            let values = [first.into(), second.as_deref().into(), clock::now().into(), id.into()];
            if change.run(&FINISH, &values, Touched::new()).await? == 0 {
                return Ok(false);
            }
            for file in made.iter() {
                change.insert_file(file).await?;
            }
            change.commit().await?;
            Ok(true)
        };
        match self.db.insist(finish).await {
            // The ids of the files are unique to this run. If one of them is recorded, all are.
            Err(StoreError::OutcomeUnknown(_)) => {
                let is_ours = |entered: RunFiles<FileId>| entered.first == made.first.at.id;
                Ok(self.db.insist(finish).await? || self.files_of_run(id).await?.is_some_and(is_ours))
            }
            finished => finished,
        }
    }

    /// Records that no worker processes the run any more.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn close_run(&self, id: &str) -> Result<(), StoreError> {
        self.write_alone(&CLOSE, &[clock::now().into(), id.into()]).await.map(|_| ())
    }

    /// Releases the reservation of a run whose job was not enqueued. A run that has made its files
    /// stays.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn release_run(&self, id: &str) -> Result<(), StoreError> {
        self.write_alone(&RELEASE, &[id.into()]).await.map(|_| ())
    }

    /// Removes a run. Its files stay.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn remove_run(&self, id: &str) -> Result<(), StoreError> {
        self.write_alone(&REMOVE, &[id.into()]).await.map(|_| ())
    }

    /// Returns the first `limit` runs that were admitted before `before`, after `after`, oldest
    /// first.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn old_runs(
        &self,
        before: DateTime<Utc>,
        after: Option<&OldRun>,
        limit: u32,
    ) -> Result<Vec<OldRun>, StoreError> {
        let behind = after.map_or(i64::MIN, |after| after.created_at.timestamp_millis());
        let id = after.map(|after| after.id.as_str()).unwrap_or_default();
        let rows = self.all(&OLD, &[before.into(), behind.into(), id.into(), i64::from(limit).into()]).await?;
        rows.iter()
            .map(|row| {
                let (id, kind) = (row.text("id")?, row.text("kind")?);
                let unreadable = || StoreError::Unreadable { table: "export_run", id: id.clone(), column: "kind" };
                let kind = FileKind::named(&kind).ok_or_else(unreadable)?;
                let is_closed = row.opt_int("closed_at")?.is_some();
                Ok(OldRun { id, kind, created_at: row.time("created_at")?, is_closed })
            })
            .collect()
    }
}

fn begun<'a>(id: &'a str, tenant: &'a TenantId, kind: FileKind) -> [Value<'a>; 4] {
    [id.into(), tenant.as_str().into(), kind.name().into(), clock::now().into()]
}

#[cfg(test)]
pub(super) mod tests;
