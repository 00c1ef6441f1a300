//! Preferences of a user: one JSON object, whole.

use tidegate_cache::Touched;
use uuid::Uuid;

use super::sql::accounts::{PASSWORD, PREFERENCES, PUT_PREFERENCES};
use super::{Store, StoreError};
use crate::cache_keys;
use crate::clock;
use crate::tenant::TenantId;

/// Nothing was preferred yet.
const NONE: &str = "{}";

impl Store {
    /// The user's preferences, as JSON; an empty object where none were set. `None` where the tenant has no such user.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn preferences(&self, tenant: &TenantId, user: Uuid) -> Result<Option<String>, StoreError> {
        let row = self.one(&PREFERENCES, &[tenant.as_str().into(), user.into()]).await?;
        row.map(|row| Ok(row.opt_text("body")?.unwrap_or_else(|| NONE.to_owned()))).transpose()
    }

    /// Replaces a user's preferences by `body`, a JSON object. Answers whether the tenant has that user.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn put_preferences(&self, tenant: &TenantId, user: Uuid, body: &str) -> Result<bool, StoreError> {
        let put = || async {
            let mut change = self.begin_once().await?;
            // Locked: a user that is deleted meanwhile would make this fail by its foreign key.
            if change.one(&PASSWORD, &[tenant.as_str().into(), user.into()]).await?.is_none() {
                return Ok(false);
            }
            let touched = Touched::new().key(&cache_keys::preferences(tenant, user));
            let values = [tenant.as_str().into(), user.into(), body.into(), clock::now().into()];
            change.run(&PUT_PREFERENCES, &values, touched).await?;
            change.commit().await?;
            Ok(true)
        };
        self.db.insist(put).await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::ground::Ground;
    use crate::store::users::tests::user;

    pub(in crate::store) async fn preferences_are_a_users_and_go_with_it(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        let ada = user(&store, &acme, "ada@example.org").await.id;
        assert_eq!(store.preferences(&acme, ada).await.unwrap().as_deref(), Some("{}"));
        for body in [r#"{"theme":"dark"}"#, r#"{"theme":"\u0000"}"#] {
            assert!(store.put_preferences(&acme, ada, body).await.unwrap());
            assert_eq!(store.preferences(&acme, ada).await.unwrap().as_deref(), Some(body));
        }
        let other: TenantId = "other".parse().unwrap();
        assert_eq!(store.preferences(&other, ada).await.unwrap(), None);
        assert!(!store.put_preferences(&other, ada, "{}").await.unwrap());
        assert!(store.delete_user(&acme, ada).await.unwrap());
        assert_eq!(store.preferences(&acme, ada).await.unwrap(), None);
        assert!(!store.put_preferences(&acme, ada, "{}").await.unwrap());
    }
}
