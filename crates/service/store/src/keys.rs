//! API keys of a tenant: creation, listing, revocation.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::cache_keys;
use tidegate_model::tenant::{ApiKey, KeyDigest, TenantId};
use uuid::Uuid;

use super::sql::accounts::{DELETE_KEY, DIGEST_OF_KEY, INSERT_KEY, KEYS};
use super::sql::tenants::TENANT_TO_CHANGE;
use super::value::Row;
use super::{Change, Store, StoreError};

/// Maximum number of keys of a tenant.
pub const MOST_KEYS: usize = 100;

/// Metadata of an API key, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Identifies the key when it is revoked.
    pub id: Uuid,
    /// Purpose, as the tenant named it.
    pub name: String,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
}

impl KeyInfo {
    /// Makes the metadata of a key that is issued now.
    pub fn new(name: String) -> Self {
        Self { id: Uuid::now_v7(), name, created_at: clock::now() }
    }
}

impl Store {
    /// Issues a key. `None` if the tenant does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] if the tenant has [`MOST_KEYS`].
    pub async fn create_key(
        &self,
        tenant: &TenantId,
        key: &ApiKey,
        name: String,
    ) -> Result<Option<KeyInfo>, StoreError> {
        let info = KeyInfo::new(name);
        let create = || async {
            let mut change = self.begin_once().await?;
            // Locks the tenant. Otherwise two concurrent counts could both be below the limit.
            if change.one(&TENANT_TO_CHANGE, &[tenant.as_str().into()]).await?.is_none() {
                return Ok(None);
            }
            let limit = i64::try_from(MOST_KEYS).unwrap_or(i64::MAX);
            if change.all(&KEYS, &[tenant.as_str().into(), limit.into()]).await?.len() >= MOST_KEYS {
                return Err(StoreError::Full { what: "API keys", most: MOST_KEYS as u64 });
            }
            change.insert_key(tenant, key, &info).await?;
            change.commit().await?;
            Ok(Some(info.clone()))
        };
        self.db.insist(create).await
    }

    /// Returns the tenant's keys, oldest first.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn keys(&self, tenant: &TenantId) -> Result<Vec<KeyInfo>, StoreError> {
        let limit = i64::try_from(MOST_KEYS).unwrap_or(i64::MAX);
        let rows = self.all(&KEYS, &[tenant.as_str().into(), limit.into()]).await?;
        let mut keys = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        // Keys that were created before keys had ids have ids without a time.
        keys.sort_by_key(|key| (key.created_at, key.id));
        Ok(keys)
    }

    /// Revokes a key: no request that begins after this is accepted with it, in any process.
    /// Returns whether the tenant had it.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn revoke_key(&self, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
        let revoke = || async {
            let mut change = self.begin_once().await?;
            let Some(row) = change.one(&DIGEST_OF_KEY, &[tenant.as_str().into(), id.into()]).await? else {
                return Ok(false);
            };
            let unreadable = |_| StoreError::Unreadable { table: "api_key", id: id.to_string(), column: "digest" };
            let digest = KeyDigest(row.blob("digest")?.try_into().map_err(unreadable)?);
            let touched = Touched::new().key(&cache_keys::api_key(&digest));
            change.run(&DELETE_KEY, &[digest.0.as_slice().into()], touched).await?;
            change.commit().await?;
            Ok(true)
        };
        self.db.insist(revoke).await
    }
}

impl Change {
    pub(super) async fn insert_key(
        &mut self,
        tenant: &TenantId,
        key: &ApiKey,
        info: &KeyInfo,
    ) -> Result<(), StoreError> {
        let digest = key.digest();
        let values = [
            digest.0.as_slice().into(),
            tenant.as_str().into(),
            info.id.into(),
            (&info.name).into(),
            info.created_at.into(),
        ];
        self.run(&INSERT_KEY, &values, Touched::new().key(&cache_keys::api_key(&digest))).await?;
        Ok(())
    }
}

fn read(row: &Row) -> Result<KeyInfo, StoreError> {
    let id = row.text("id")?;
    let unreadable = |_| StoreError::Unreadable { table: "api_key", id: id.clone(), column: "id" };
    Ok(KeyInfo {
        id: Uuid::try_parse(&id).map_err(unreadable)?,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ground::{Ground, tenant};

    pub(crate) async fn a_key_is_listed_and_revoked_by_its_own_tenant_alone(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        let other: TenantId = "other".parse().unwrap();
        store.create_tenant(&tenant(&other), &ApiKey::generate()).await.unwrap();
        let key = ApiKey::generate();
        let made = store.create_key(&acme, &key, "laptop".to_owned()).await.unwrap().unwrap();
        let names = async |tenant| -> Vec<String> {
            store.keys(tenant).await.unwrap().into_iter().map(|key| key.name).collect()
        };
        assert_eq!(names(&acme).await, ["first", "laptop"]);
        assert_eq!(names(&other).await, ["first"]);
        assert_eq!(store.keys(&acme).await.unwrap()[1], made);
        assert_eq!(store.tenant_of_key(&key.digest()).await.unwrap(), Some(acme.clone()));

        assert!(!store.revoke_key(&other, made.id).await.unwrap());
        assert!(store.revoke_key(&acme, made.id).await.unwrap());
        assert!(!store.revoke_key(&acme, made.id).await.unwrap());
        assert_eq!(store.tenant_of_key(&key.digest()).await.unwrap(), None);
        assert_eq!(names(&acme).await, ["first"]);
        let nobody = "nobody".parse().unwrap();
        assert_eq!(store.create_key(&nobody, &key, String::new()).await.unwrap(), None);
    }

    pub(crate) async fn a_tenant_has_so_many_keys_and_no_more(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        for number in 1..MOST_KEYS {
            store.create_key(&acme, &ApiKey::generate(), number.to_string()).await.unwrap();
        }
        let full = store.create_key(&acme, &ApiKey::generate(), "one more".to_owned()).await;
        assert!(matches!(full, Err(StoreError::Full { most: 100, .. })), "{full:?}");
        assert_eq!(store.keys(&acme).await.unwrap().len(), MOST_KEYS);
    }
}
