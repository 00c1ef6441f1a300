//! Tenants and their keys.

use sqlx::Row;
use tidegate_cache::Touched;
use tidegate_ratelimit::Overrides;

use super::{Change, Store, StoreError};
use crate::cache_keys;
use crate::clock;
use crate::tenant::{ApiKey, KeyDigest, Plan, Tenant, TenantId};

impl Store {
    /// The tenant of that id.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let row = sqlx::query(
            "SELECT name, tier, per_minute, per_hour, per_day, max_users, created_at FROM tenant WHERE id = ?",
        )
        .bind(id.as_str())
        .fetch_optional(&self.reader)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let unreadable = |column| StoreError::Unreadable { table: "tenant", id: id.to_string(), column };
        let tier: String = row.try_get("tier")?;
        let limit = |column: &'static str| -> Result<Option<u64>, StoreError> {
            let value: Option<i64> = row.try_get(column)?;
            value.map(u64::try_from).transpose().map_err(|_| unreadable(column))
        };
        let overrides = Overrides {
            per_minute: limit("per_minute")?,
            per_hour: limit("per_hour")?,
            per_day: limit("per_day")?,
            max_users: row.try_get("max_users")?,
        };
        let tier = tier.parse().map_err(|_| unreadable("tier"))?;
        Ok(Some(Tenant {
            id: id.clone(),
            name: row.try_get("name")?,
            plan: Plan::try_new(tier, overrides).map_err(|_| unreadable("per_minute, per_hour or per_day"))?,
            created_at: clock::from_ms(row.try_get("created_at")?),
        }))
    }

    /// Whose key has that digest.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn tenant_of_key(&self, digest: &KeyDigest) -> Result<Option<TenantId>, StoreError> {
        let id: Option<String> = sqlx::query_scalar("SELECT tenant_id FROM api_key WHERE digest = ?")
            .bind(digest.0.as_slice())
            .fetch_optional(&self.reader)
            .await?;
        id.map(|id| {
            id.clone().try_into().map_err(|_| StoreError::Unreadable { table: "api_key", id, column: "tenant_id" })
        })
        .transpose()
    }

    /// Creates a tenant with its first key, both or neither.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] when the id is taken.
    pub async fn create_tenant(&self, tenant: &Tenant, key: &ApiKey) -> Result<(), StoreError> {
        let mut change = self.begin().await?;
        change.insert_tenant(tenant).await?;
        change.insert_key(&tenant.id, key).await?;
        change.commit().await
    }

    /// Gives a tenant another plan. Answers whether there is such a tenant.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn set_plan(&self, id: &TenantId, plan: &Plan) -> Result<bool, StoreError> {
        let mut change = self.begin().await?;
        let statement = sqlx::query(
            "UPDATE tenant SET tier = ?, per_minute = ?, per_hour = ?, per_day = ?, max_users = ? WHERE id = ?",
        )
        .bind(plan.tier().name())
        .bind(stored(plan.overrides().per_minute))
        .bind(stored(plan.overrides().per_hour))
        .bind(stored(plan.overrides().per_day))
        .bind(plan.overrides().max_users)
        .bind(id.as_str());
        let found = change.execute(statement, Touched::new().key(&cache_keys::tenant(id))).await?.rows_affected() > 0;
        change.commit().await?;
        Ok(found)
    }
}

impl Change {
    async fn insert_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "INSERT INTO tenant (id, name, tier, per_minute, per_hour, per_day, max_users, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        )
        .bind(tenant.id.as_str())
        .bind(&tenant.name)
        .bind(tenant.plan.tier().name())
        .bind(stored(tenant.plan.overrides().per_minute))
        .bind(stored(tenant.plan.overrides().per_hour))
        .bind(stored(tenant.plan.overrides().per_day))
        .bind(tenant.plan.overrides().max_users)
        .bind(tenant.created_at.timestamp_millis());
        let touched = Touched::new().key(&cache_keys::tenant(&tenant.id));
        if self.execute(statement, touched).await?.rows_affected() == 0 {
            return Err(StoreError::Exists { what: "tenant", id: tenant.id.to_string() });
        }
        Ok(())
    }

    async fn insert_key(&mut self, tenant: &TenantId, key: &ApiKey) -> Result<(), StoreError> {
        let digest = key.digest();
        let statement = sqlx::query("INSERT INTO api_key (digest, tenant_id, created_at) VALUES (?, ?, ?)")
            .bind(digest.0.to_vec())
            .bind(tenant.as_str().to_owned())
            .bind(clock::now().timestamp_millis());
        self.execute(statement, Touched::new().key(&cache_keys::api_key(&digest))).await?;
        Ok(())
    }
}

/// SQLite's integers are signed; a plan's limits are far below what they hold.
fn stored(limit: Option<u64>) -> Option<i64> {
    limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
