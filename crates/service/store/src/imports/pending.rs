//! Limit on concurrent imports of a tenant.

use tidegate_cache::Touched;
use tidegate_model::import::Position;
use tidegate_model::tenant::TenantId;

use super::{begun, signed};
use crate::sql::imports::{DETACH, PENDING, RELEASE, REMOVE_CLOSED, RESERVE};
use crate::sql::tenants::TENANT_TO_CHANGE;
use crate::{Store, StoreError};

/// Result of reserving an import, or a run that makes files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// This call made the reservation.
    New,
    /// An earlier request with the same id made it.
    Found,
    /// The limit is reached.
    Full,
}

impl Store {
    /// Reserves an import, unless the tenant has `most` pending.
    ///
    /// The count and the insert are one transaction, so concurrent uploads can't exceed the limit.
    /// A closed import with that id is replaced: the new one starts at the beginning of its own
    /// file, and the earlier schedules stay.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn reserve_import(&self, id: &str, tenant: &TenantId, most: u32) -> Result<Reserved, StoreError> {
        let reserve = || async {
            let mut change = self.begin_once().await?;
            // Locks the tenant before the count. Otherwise two concurrent counts could both be
            // below the limit.
            change.one(&TENANT_TO_CHANGE, &[tenant.as_str().into()]).await?;
            let pending = change.all(&PENDING, &[tenant.as_str().into()]).await?;
            for import in &pending {
                // A repeated request keeps its reservation.
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

    /// Releases the reservation of an upload that became no job.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn release_import(&self, id: &str) -> Result<(), StoreError> {
        let values = [id.into(), signed(Position::START.byte).into()];
        self.write_alone(&RELEASE, &values).await.map(|_| ())
    }

    /// Returns the tenant's imports that count as pending.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn pending_imports(&self, tenant: &TenantId) -> Result<Vec<String>, StoreError> {
        self.all(&PENDING, &[tenant.as_str().into()]).await?.iter().map(|row| row.text("id")).collect()
    }
}
