//! Imports that were given up, and the reason.

use serde::Serialize;
use tidegate_base::clock;
use tidegate_model::tenant::TenantId;

use super::count;
use crate::sql::imports::{CLOSE, FAILURE};
use crate::{Store, StoreError};

/// Reason why an import was given up, if the tenant may know it and can fix it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ImportFailure {
    /// Too many lines were rejected.
    TooManyRejects,
    /// The uploaded file does not exist any more.
    UploadGone,
    /// The uploaded file can't be read from the position of the import.
    Unreadable,
}

/// An import that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedImport {
    /// Reason.
    pub failure: ImportFailure,
    /// Number of rows in the table. They stay.
    pub imported: u64,
    /// Number of lines that were rejected.
    pub rejected: u64,
}

impl ImportFailure {
    const ALL: [Self; 3] = [Self::TooManyRejects, Self::UploadGone, Self::Unreadable];

    /// Its stable identifier.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooManyRejects => "too-many-rejects",
            Self::UploadGone => "upload-gone",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Store {
    /// Returns why the tenant's import was given up. `None` if it was not, or if the reason does
    /// not concern the tenant.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn failed_import(&self, id: &str, tenant: &TenantId) -> Result<Option<FailedImport>, StoreError> {
        let Some(row) = self.one(&FAILURE, &[id.into(), tenant.as_str().into()]).await? else { return Ok(None) };
        let Some(name) = row.opt_text("failure")? else { return Ok(None) };
        let failure = ImportFailure::ALL
            .into_iter()
            .find(|failure| failure.name() == name)
            .ok_or_else(|| StoreError::Unreadable { table: "import", id: id.to_owned(), column: "failure" })?;
        Ok(Some(FailedImport {
            failure,
            imported: count(&row, id, "imported")?,
            rejected: count(&row, id, "rejected")?,
        }))
    }

    /// Records that no worker processes the import any more, and the reason if it is known.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn close_import(&self, id: &str, failure: Option<ImportFailure>) -> Result<(), StoreError> {
        let values = [clock::now().into(), failure.map(ImportFailure::name).into(), id.into()];
        self.write_alone(&CLOSE, &values).await.map(|_| ())
    }
}
