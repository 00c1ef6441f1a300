//! Preferences of a user: one JSON object, always replaced as a whole.

use tidegate_base::clock;
use tidegate_cache::{Fill, Touched, TypedCache, WriteError, Written};
use tidegate_model::cache_keys;
use tidegate_model::tenant::TenantId;
use uuid::Uuid;

use super::origins::Origins;
use super::sql::accounts::{PASSWORD, PREFERENCES, PUT_PREFERENCES};
use super::{Store, StoreError};

/// Preferences of a user who has not set any.
const NONE: &str = "{}";

impl Store {
    /// Returns the user's preferences as JSON. An empty object if none were set. `None` if the
    /// tenant has no such user.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn preferences(&self, tenant: &TenantId, user: Uuid) -> Result<Option<String>, StoreError> {
        let row = self.one(&PREFERENCES, &[tenant.as_str().into(), user.into()]).await?;
        row.map(|row| Ok(row.opt_text("body")?.unwrap_or_else(|| NONE.to_owned()))).transpose()
    }

    /// Replaces a user's preferences with `body`, a JSON object, and writes them through `cache`,
    /// which stores them as `value`. `None` if the tenant has no such user.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn put_preferences<V: Send + Sync + 'static>(
        &self,
        cache: &TypedCache<V>,
        tenant: &TenantId,
        user: Uuid,
        body: String,
        value: V,
    ) -> Result<Option<Written>, StoreError> {
        let (store, tenant, origin) = (self.clone(), tenant.clone(), Origins::begin());
        let key = cache_keys::preferences(&tenant, user);
        let write = async move || match store.put_body(&tenant, user, &body, origin).await {
            Ok(true) => Ok(Fill::new(value)),
            Ok(false) => Err(None),
            Err(error) => Err(Some(error)),
        };
        match cache.write_through(&key, write).await {
            Ok(written) => {
                self.origins.end(origin);
                Ok(Some(written))
            }
            Err(WriteError::Store(None)) => Ok(None),
            Err(WriteError::Store(Some(error))) => Err(error),
            Err(_) => Err(StoreError::CutOff),
        }
    }

    async fn put_body(&self, tenant: &TenantId, user: Uuid, body: &str, origin: i64) -> Result<bool, StoreError> {
        let put = || async {
            let mut change = self.begin_once().await?;
            // Locks the user. Otherwise a concurrent deletion would cause a foreign key error.
            if change.one(&PASSWORD, &[tenant.as_str().into(), user.into()]).await?.is_none() {
                return Ok(false);
            }
            let touched = Touched::new().key(&cache_keys::preferences(tenant, user));
            let values = [tenant.as_str().into(), user.into(), body.into(), clock::now().into()];
            change.run(&PUT_PREFERENCES, &values, touched).await?;
            change.commit_through(origin).await?;
            Ok(true)
        };
        self.db.insist(put).await
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tidegate_cache::{Lookup, TieredCache};
    use tidegate_model::cache_classes;
    use tidegate_model::tenant::ApiKey;

    use crate::ground::{Ground, LONG, acme, tenant};
    use crate::users::tests::user;

    pub(crate) async fn preferences_are_a_users_and_go_with_it(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        let texts = store.cache().typed::<String>(cache_classes::PREFERENCES);
        let put = async |tenant: &TenantId, user: Uuid, body: &str| {
            let written = store.put_preferences(&texts, tenant, user, body.to_owned(), body.to_owned()).await;
            written.unwrap().is_some()
        };
        let ada = user(&store, &acme, "ada@example.org").await.id;
        assert_eq!(store.preferences(&acme, ada).await.unwrap().as_deref(), Some("{}"));
        for body in [r#"{"theme":"dark"}"#, r#"{"theme":"\u0000"}"#] {
            assert!(put(&acme, ada, body).await);
            assert_eq!(store.preferences(&acme, ada).await.unwrap().as_deref(), Some(body));
        }
        let other: TenantId = "other".parse().unwrap();
        assert_eq!(store.preferences(&other, ada).await.unwrap(), None);
        assert!(!put(&other, ada, "{}").await);
        assert!(store.delete_user(&acme, ada).await.unwrap());
        assert_eq!(store.preferences(&acme, ada).await.unwrap(), None);
        assert!(!put(&acme, ada, "{}").await);
    }

    /// A process keeps the value that it wrote, also after it has read its own commit. It drops the
    /// value after another process has written.
    pub(crate) async fn preferences_are_written_through_the_cache_of_their_process(ground: &Ground) {
        let place = ground.place().await;
        let open = async || {
            let (store, coherence) = place.open_with(TieredCache::builder().build()).await;
            let texts = store.cache().typed::<String>(cache_classes::PREFERENCES);
            (store, coherence, texts)
        };
        let ((one, seen_by_one, here), (other, seen_by_other, there)) = (open().await, open().await);
        one.create_tenant(&tenant(&acme()), &ApiKey::generate()).await.unwrap();
        let ada = user(&one, &acme(), "ada@example.org").await.id;
        let key = cache_keys::preferences(&acme(), ada);
        let cached = |texts: &TypedCache<String>| match texts.peek(&key) {
            Lookup::Fresh(text) => Some(text.to_string()),
            _ => None,
        };
        // On a busy machine, the notification of each of these commits may arrive before its write
        // is complete.
        let (mut kept, mut round) = (0_u32, 0_u32);
        while round < 20 || (kept == 0 && round < 2_000) {
            round += 1;
            let (mine, theirs) = (format!("mine {round}"), format!("theirs {round}"));
            one.put_preferences(&here, &acme(), ada, mine.clone(), mine.clone()).await.unwrap().unwrap();
            seen_by_one.catch_up().await.unwrap();
            seen_by_other.catch_up().await.unwrap();
            // Empty if this process received the notification of its own commit before the write
            // was complete.
            let held = cached(&here);
            assert!(held.as_ref().is_none_or(|held| *held == mine), "{held:?}");
            kept += u32::from(held.is_some());
            until_gone(|| cached(&there).is_none_or(|held| held == mine)).await;

            other.put_preferences(&there, &acme(), ada, theirs.clone(), theirs.clone()).await.unwrap().unwrap();
            seen_by_one.catch_up().await.unwrap();
            until_gone(|| cached(&here).is_none()).await;
        }
        assert!(kept > 0, "nothing was ever kept");
    }

    /// With PostgreSQL the notification of another process's commit arrives some milliseconds after
    /// it.
    async fn until_gone(is_gone: impl Fn() -> bool) {
        tidegate_testkit::poll_until(LONG, async || is_gone().then_some(())).await.unwrap();
    }
}
