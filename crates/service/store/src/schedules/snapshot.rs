//! Schedules as they were at one moment.

use tidegate_model::tenant::TenantId;

use super::page::{Cursor, Page, page_of, page_values};
use crate::error::StoreError;
use crate::snapshot::Snapshot;
use crate::sql::schedules::{COUNT, PAGE};

impl Snapshot {
    /// Like [`Store::schedules`](crate::Store::schedules).
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn schedules(
        &mut self,
        tenant: &TenantId,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<Page, StoreError> {
        page_of(&self.all(&PAGE, &page_values(tenant, limit, after)).await?, limit)
    }

    /// Returns how many schedules the tenant has.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn count_schedules(&mut self, tenant: &TenantId) -> Result<u64, StoreError> {
        let row = self.one(&COUNT, &[tenant.as_str().into()]).await?;
        let rows = row.map_or(Ok(0), |row| row.int("rows"))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }
}
