//! Webhooks of tenants: URLs, each with a secret for signatures.

use chrono::{DateTime, Utc};
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::tenant::TenantId;
use tidegate_settings::Hidden;
use uuid::Uuid;

use super::sql::tenants::TENANT_TO_CHANGE;
use super::sql::webhooks::{DELETE, DISABLE, INSERT, OF_TENANT, WEBHOOK};
use super::value::Row;
use super::{Store, StoreError};

/// A URL to which a tenant's notifications are posted.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// The URL. It often contains a secret.
    pub url: Hidden,
    /// Secret for the signature of deliveries.
    pub secret: Hidden,
    /// Kinds of notifications that are posted. Empty for all kinds.
    pub kinds: Vec<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When the receiver refused further deliveries. `None` if it is enabled.
    pub disabled_at: Option<DateTime<Utc>>,
}

impl Webhook {
    /// Whether notifications of that kind are posted to it.
    pub fn wants(&self, kind: &str) -> bool {
        self.disabled_at.is_none() && (self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind))
    }
}

impl Store {
    /// Creates a webhook, unless the tenant has `most` of them. Returns whether it was created.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn create_webhook(&self, tenant: &TenantId, webhook: &Webhook, most: usize) -> Result<bool, StoreError> {
        let create = || async {
            let mut change = self.begin_once().await?;
            // Locks the tenant before the count. Otherwise two concurrent counts could both be
            // below the limit.
            change.one(&TENANT_TO_CHANGE, &[tenant.as_str().into()]).await?;
            let others = change.all(&OF_TENANT, &[tenant.as_str().into()]).await?;
            if others.iter().filter_map(|row| row.text("id").ok()).filter(|id| *id != webhook.id.to_string()).count()
                >= most
            {
                return Ok(false);
            }
            let values = [
                tenant.as_str().into(),
                webhook.id.into(),
                webhook.url.reveal().into(),
                webhook.secret.reveal().into(),
                serde_json::Value::from(webhook.kinds.clone()).to_string().into(),
                webhook.created_at.into(),
            ];
            change.run(&INSERT, &values, Touched::new()).await?;
            change.commit().await?;
            Ok(true)
        };
        match self.db.insist(create).await {
            // The id is unique to this call, and an insert with an existing id does nothing.
            Err(StoreError::OutcomeUnknown(_)) => self.db.insist(create).await,
            created => created,
        }
    }

    /// Returns the tenant's webhooks, oldest first.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn webhooks(&self, tenant: &TenantId) -> Result<Vec<Webhook>, StoreError> {
        self.all(&OF_TENANT, &[tenant.as_str().into()]).await?.iter().map(read).collect()
    }

    /// Returns the tenant's webhook with that id.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn webhook(&self, tenant: &TenantId, id: Uuid) -> Result<Option<Webhook>, StoreError> {
        let row = self.one(&WEBHOOK, &[tenant.as_str().into(), id.into()]).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Disables a webhook: nothing more is posted to it.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn disable_webhook(&self, tenant: &TenantId, id: Uuid) -> Result<(), StoreError> {
        let disable = || async {
            let mut change = self.begin_once().await?;
            let values = [clock::now().into(), tenant.as_str().into(), id.into()];
            change.run(&DISABLE, &values, Touched::new()).await?;
            change.commit().await
        };
        self.db.insist(disable).await
    }

    /// Deletes a webhook. Returns whether the tenant had it.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn delete_webhook(&self, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
        let delete = || async {
            let mut change = self.begin_once().await?;
            if change.run(&DELETE, &[tenant.as_str().into(), id.into()], Touched::new()).await? == 0 {
                return Ok(false);
            }
            change.commit().await?;
            Ok(true)
        };
        self.db.insist(delete).await
    }
}

fn read(row: &Row) -> Result<Webhook, StoreError> {
    let id = row.text("id")?;
    let unreadable = |column| StoreError::Unreadable { table: "webhook", id: id.clone(), column };
    Ok(Webhook {
        id: Uuid::try_parse(&id).map_err(|_| unreadable("id"))?,
        url: Hidden::new(&row.text("url")?),
        secret: Hidden::new(&row.text("secret")?),
        kinds: serde_json::from_str(&row.text("kinds")?).map_err(|_| unreadable("kinds"))?,
        created_at: row.time("created_at")?,
        disabled_at: row.opt_int("disabled_at")?.map(clock::from_ms),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ground::Ground;

    fn webhook(kinds: &[&str]) -> Webhook {
        Webhook {
            id: Uuid::now_v7(),
            url: Hidden::new("https://example.org/hook"),
            secret: Hidden::new("whsec_0123456789abcdef"),
            kinds: kinds.iter().map(ToString::to_string).collect(),
            created_at: clock::now(),
            disabled_at: None,
        }
    }

    pub(crate) async fn a_webhook_is_created_listed_disabled_and_deleted(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        let (one, two) = (webhook(&[]), webhook(&["reminder"]));
        assert!(store.create_webhook(&acme, &one, 2).await.unwrap());
        assert!(store.create_webhook(&acme, &two, 2).await.unwrap());
        assert!(store.create_webhook(&acme, &two, 2).await.unwrap(), "the same again is no third");
        assert!(!store.create_webhook(&acme, &webhook(&[]), 2).await.unwrap());
        let all = store.webhooks(&acme).await.unwrap();
        assert_eq!(all.iter().map(|webhook| webhook.id).collect::<Vec<_>>(), [one.id, two.id]);
        assert_eq!((all[1].url.reveal(), all[1].secret.reveal()), (two.url.reveal(), two.secret.reveal()));
        assert!(all[0].wants("any") && all[1].wants("reminder") && !all[1].wants("any"));

        store.disable_webhook(&acme, one.id).await.unwrap();
        assert!(!store.webhook(&acme, one.id).await.unwrap().unwrap().wants("any"));
        let other = "other".parse().unwrap();
        assert!(store.webhook(&other, one.id).await.unwrap().is_none());
        assert!(!store.delete_webhook(&other, one.id).await.unwrap());
        assert!(store.delete_webhook(&acme, one.id).await.unwrap());
        assert!(!store.delete_webhook(&acme, one.id).await.unwrap());
        assert_eq!(store.webhooks(&acme).await.unwrap().len(), 1);
    }
}
