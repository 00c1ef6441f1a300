//! Runs that make files of a kind for a tenant: which are under way, and what came of each. Places are counted for each kind by itself.

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

/// What a run has made: one file, or a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made<T> {
    /// The one.
    pub first: T,
    /// The other of a pair.
    pub second: Option<T>,
}

impl<T> Made<T> {
    /// One file.
    pub fn one(file: T) -> Self {
        Self { first: file, second: None }
    }

    /// A pair.
    pub fn pair(first: T, second: T) -> Self {
        Self { first, second: Some(second) }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.second)
    }
}

/// A run as the sweep sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldRun {
    /// The job's id.
    pub id: String,
    /// What it makes.
    pub kind: FileKind,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// Whether it counts no more as pending.
    pub is_closed: bool,
}

impl Store {
    /// Takes a place for a run, unless the tenant has `most` of its kind under way.
    ///
    /// Count and insert are one transaction: of requests that come together no two get the last place.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
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
                // A repeated request keeps its place.
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

    /// The tenant's runs of that kind that count as under way, and since when.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn pending_runs(
        &self,
        tenant: &TenantId,
        kind: FileKind,
    ) -> Result<Vec<(String, DateTime<Utc>)>, StoreError> {
        let rows = self.all(&PENDING, &[tenant.as_str().into(), kind.name().into()]).await?;
        rows.iter().map(|row| Ok((row.text("id")?, row.time("created_at")?))).collect()
    }

    /// Begins a run: what an earlier one of the same job has made, if one has.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn open_run(
        &self,
        id: &str,
        tenant: &TenantId,
        kind: FileKind,
    ) -> Result<Option<Made<FileId>>, StoreError> {
        self.write_alone(&OPEN, &begun(id, tenant, kind)).await?;
        self.files_of_run(id).await
    }

    /// What came of a run.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn files_of_run(&self, id: &str) -> Result<Option<Made<FileId>>, StoreError> {
        let Some(row) = self.one(&FILES_OF, &[id.into()]).await? else { return Ok(None) };
        let read = |column: &'static str| {
            let unreadable = || StoreError::Unreadable { table: "export_run", id: id.to_owned(), column };
            row.opt_text(column)?.map(|file| file.parse().map_err(|_| unreadable())).transpose()
        };
        let second = read("second_file_id")?;
        Ok(read("file_id")?.map(|first| Made { first, second }))
    }

    /// Enters what a run has made, in one transaction with its end. `false` where another run of the same job was there first.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn finish_run(&self, id: &str, made: &Made<StoredFile>) -> Result<bool, StoreError> {
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
            // The ids of the files are this run's alone: whoever finds one entered has entered all.
            Err(StoreError::OutcomeUnknown(_)) => {
                let is_ours = |entered: Made<FileId>| entered.first == made.first.at.id;
                Ok(self.db.insist(finish).await? || self.files_of_run(id).await?.is_some_and(is_ours))
            }
            finished => finished,
        }
    }

    /// Notes that nobody works on the run any more.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn close_run(&self, id: &str) -> Result<(), StoreError> {
        self.write_alone(&CLOSE, &[clock::now().into(), id.into()]).await.map(|_| ())
    }

    /// Gives the place of a run back whose job was not enqueued. A run that has made its files stays.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn release_run(&self, id: &str) -> Result<(), StoreError> {
        self.write_alone(&RELEASE, &[id.into()]).await.map(|_| ())
    }

    /// Forgets a run. Its files stay.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn remove_run(&self, id: &str) -> Result<(), StoreError> {
        self.write_alone(&REMOVE, &[id.into()]).await.map(|_| ())
    }

    /// The first `limit` runs that were admitted before `before`, behind `after`, in order of their age.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
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
