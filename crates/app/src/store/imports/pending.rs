//! How many imports a tenant may have under way at a time.

use tidegate_cache::Touched;

use super::signed;
use crate::clock;
use crate::import::Position;
use crate::store::{Store, StoreError};
use crate::tenant::TenantId;

impl Store {
    /// Takes a place for an import, unless the tenant has `most` under way. Whether it did.
    ///
    /// Count and insert are one transaction: uploads that begin together can't share the last place.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub(crate) async fn reserve_import(&self, id: &str, tenant: &TenantId, most: u32) -> Result<bool, StoreError> {
        let mut change = self.begin().await?;
        let pending: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM import WHERE tenant_id = ? AND closed_at IS NULL")
            .bind(tenant.as_str())
            .fetch_one(change.reader())
            .await?;
        if pending >= i64::from(most) {
            return Ok(false);
        }
        let statement = sqlx::query(
            "INSERT INTO import (id, tenant_id, next_byte, next_line, imported, rejected, created_at)
             VALUES (?, ?, ?, ?, 0, 0, ?)",
        )
        .bind(id)
        .bind(tenant.as_str())
        .bind(signed(Position::START.byte))
        .bind(signed(Position::START.line))
        .bind(clock::now().timestamp_millis());
        change.execute(statement, Touched::new()).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Gives the place of an upload back that became no job.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub(crate) async fn release_import(&self, id: &str) -> Result<(), StoreError> {
        let mut change = self.begin().await?;
        // Of an import that has begun after all the position must not be lost.
        let statement = sqlx::query("DELETE FROM import WHERE id = ? AND next_byte = ?")
            .bind(id)
            .bind(signed(Position::START.byte));
        change.execute(statement, Touched::new()).await?;
        change.commit().await
    }

    /// The tenant's imports that count as under way.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub(crate) async fn pending_imports(&self, tenant: &TenantId) -> Result<Vec<String>, StoreError> {
        let ids = sqlx::query_scalar("SELECT id FROM import WHERE tenant_id = ? AND closed_at IS NULL")
            .bind(tenant.as_str())
            .fetch_all(&self.reader)
            .await?;
        Ok(ids)
    }
}
