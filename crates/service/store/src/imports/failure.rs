//! Imports that were given up, and why.

use serde::Serialize;
use tidegate_base::clock;
use tidegate_model::tenant::TenantId;

use super::count;
use crate::sql::imports::{CLOSE, FAILURE};
use crate::{Store, StoreError};

/// Why an import was given up: what its tenant may know, and can mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ImportFailure {
    /// More of its lines are bad than an import may have.
    TooManyRejects,
    /// The uploaded file is not there any more.
    UploadGone,
    /// The uploaded file is not one that can be read from where the import stands.
    Unreadable,
}

/// An import that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedImport {
    /// Why.
    pub failure: ImportFailure,
    /// Rows in the table; they stay.
    pub imported: u64,
    /// Lines reported as bad.
    pub rejected: u64,
}

impl ImportFailure {
    const ALL: [Self; 3] = [Self::TooManyRejects, Self::UploadGone, Self::Unreadable];

    /// Its stable word.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooManyRejects => "too-many-rejects",
            Self::UploadGone => "upload-gone",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Store {
    /// Why the tenant's import was given up; `None` when it wasn't, or for no reason that concerns the tenant.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
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

    /// Notes that nobody works on the import any more, and why, where that is known.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn close_import(&self, id: &str, failure: Option<ImportFailure>) -> Result<(), StoreError> {
        let values = [clock::now().into(), failure.map(ImportFailure::name).into(), id.into()];
        self.write_alone(&CLOSE, &values).await.map(|_| ())
    }
}
