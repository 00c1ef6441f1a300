//! How many imports a tenant may have under way at a time.

use tidegate_cache::Touched;
use tidegate_model::import::Position;
use tidegate_model::tenant::TenantId;

use super::{begun, signed};
use crate::sql::imports::{DETACH, PENDING, RELEASE, REMOVE_CLOSED, RESERVE};
use crate::sql::tenants::TENANT_TO_CHANGE;
use crate::{Store, StoreError};

/// The place of an import, or of a run that makes files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// This call took it.
    New,
    /// An earlier request with the same id has it.
    Found,
    /// All places are taken.
    Full,
}

impl Store {
    /// Takes a place for an import, unless the tenant has `most` under way.
    ///
    /// Count and insert are one transaction: uploads that begin together can't share the last place. A closed import of
    /// that id is replaced: the new one starts at the beginning of its own file, and the earlier schedules stay.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn reserve_import(&self, id: &str, tenant: &TenantId, most: u32) -> Result<Reserved, StoreError> {
        let reserve = || async {
            let mut change = self.begin_once().await?;
            // Before the count: of two that counted at the same time, each would find the last place free.
            change.one(&TENANT_TO_CHANGE, &[tenant.as_str().into()]).await?;
            let pending = change.all(&PENDING, &[tenant.as_str().into()]).await?;
            for import in &pending {
                // A repeated request keeps its place.
                if import.text("id")? == id {
                    return Ok(Reserved::Found);
                }
            }
            if pending.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
                return Ok(Reserved::Full);
            }
            change.run(&REMOVE_CLOSED, &[id.into(), tenant.as_str().into()], Touched::new()).await?;
            change.run(&DETACH, &[id.into()], Touched::new()).await?;
            change.run(&RESERVE, &begun(id, tenant, Position::START), Touched::new()).await?;
            change.commit().await?;
            Ok(Reserved::New)
        };
        self.db.insist(reserve).await
    }

    /// Gives the place of an upload back that became no job.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn release_import(&self, id: &str) -> Result<(), StoreError> {
        let values = [id.into(), signed(Position::START.byte).into()];
        self.write_alone(&RELEASE, &values).await.map(|_| ())
    }

    /// The tenant's imports that count as under way.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn pending_imports(&self, tenant: &TenantId) -> Result<Vec<String>, StoreError> {
        self.all(&PENDING, &[tenant.as_str().into()]).await?.iter().map(|row| row.text("id")).collect()
    }
}
