//! Tenants, each with its first API key.

use serde::Serialize;
use tidegate_cache::Touched;
use tidegate_model::cache_keys;
use tidegate_model::tenant::{ApiKey, KeyDigest, Plan, TIERS, Tenant, TenantId, successor};
use tidegate_ratelimit::Overrides;

use super::keys::KeyInfo;
use super::sql::tenants::{INSERT_TENANT, TENANT, TENANT_OF_KEY, TENANT_TO_CHANGE, TENANTS, UPDATE_PLAN};
use super::value::{Row, Value};
use super::{Change, Store, StoreError};

/// A page of tenants.
#[derive(Debug, Clone, Serialize)]
pub struct TenantPage {
    /// The tenants, by id.
    pub items: Vec<Tenant>,
    /// Start of the next page. `None` on the last page.
    pub next_cursor: Option<TenantId>,
}

/// Name of the key that is created with a tenant.
const FIRST_KEY: &str = "first";

impl Store {
    /// Returns the tenant with that id.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, StoreError> {
        let row = self.one(&TENANT, &[id.as_str().into()]).await?;
        row.map(|row| read(id, &row)).transpose()
    }

    /// Returns at most `limit` tenants after `after`, by id.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn tenants(&self, limit: usize, after: Option<&TenantId>) -> Result<TenantPage, StoreError> {
        // One more than requested, which shows whether there is a next page.
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let rows = self.all(&TENANTS, &[after.map_or("", TenantId::as_str).into(), wanted.into()]).await?;
        let mut items = rows.iter().map(read_listed).collect::<Result<Vec<_>, _>>()?;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| has_more).map(|last| last.id.clone());
        Ok(TenantPage { items, next_cursor })
    }

    /// Returns the owner of the key with that digest.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn tenant_of_key(&self, digest: &KeyDigest) -> Result<Option<TenantId>, StoreError> {
        let Some(row) = self.one(&TENANT_OF_KEY, &[digest.0.as_slice().into()]).await? else { return Ok(None) };
        let id = row.text("tenant_id")?;
        let unreadable = |id| StoreError::Unreadable { table: "api_key", id, column: "tenant_id" };
        TenantId::try_from(id.clone()).map(Some).map_err(|_| unreadable(id))
    }

    /// Creates a tenant and its first key, both or neither.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if the id is taken.
    pub async fn create_tenant(&self, tenant: &Tenant, key: &ApiKey) -> Result<(), StoreError> {
        let first = KeyInfo::new(FIRST_KEY.to_owned());
        self.db
            .insist(|| async {
                let mut change = self.begin_once().await?;
                change.insert_tenant(tenant).await?;
                change.insert_key(&tenant.id, key, &first).await?;
                change.commit().await
            })
            .await
    }

    /// Replaces a tenant's plan with the one that `change` makes of it, and returns the new plan.
    /// `None` if the tenant does not exist.
    ///
    /// Reads and writes under one lock. Of two concurrent changes, the second starts from the
    /// result of the first, and its epoch is greater.
    ///
    /// # Errors
    ///
    /// The error of `change`, or a [`StoreError`] if the database can't be written. Nothing is
    /// changed then.
    pub async fn change_plan<E: From<StoreError>>(
        &self,
        id: &TenantId,
        change: impl FnOnce(&Plan) -> Result<Plan, E>,
    ) -> Result<Option<Plan>, E> {
        let mut open = self.begin().await?;
        let Some(before) = open.plan(id).await? else { return Ok(None) };
        let after = successor(change(&before)?, &before);
        open.update_plan(id, &after).await?;
        open.commit().await?;
        Ok(Some(after))
    }

    /// Sets a tenant's plan. Returns whether the tenant exists.
    #[cfg(test)]
    pub(super) async fn set_plan(&self, id: &TenantId, plan: &Plan) -> Result<bool, StoreError> {
        self.change_plan(id, |_| Ok(*plan)).await.map(|changed| changed.is_some())
    }
}

fn read_listed(row: &Row) -> Result<Tenant, StoreError> {
    let id = row.text("id")?;
    let unreadable = |id| StoreError::Unreadable { table: "tenant", id, column: "id" };
    read(&TenantId::try_from(id.clone()).map_err(|_| unreadable(id))?, row)
}

fn read(id: &TenantId, row: &Row) -> Result<Tenant, StoreError> {
    let unreadable = |column| StoreError::Unreadable { table: "tenant", id: id.to_string(), column };
    let limit = |column: &'static str| -> Result<Option<u64>, StoreError> {
        row.opt_int(column)?.map(u64::try_from).transpose().map_err(|_| unreadable(column))
    };
    let overrides = Overrides {
        per_minute: limit("per_minute")?,
        per_hour: limit("per_hour")?,
        per_day: limit("per_day")?,
        max_users: limit("max_users")?.map(u32::try_from).transpose().map_err(|_| unreadable("max_users"))?,
    };
    let tier = TIERS.get(&row.text("tier")?).map_err(|_| unreadable("tier"))?;
    let plan = Plan::try_new(tier, overrides).map_err(|_| unreadable("per_minute, per_hour or per_day"))?;
    let epoch = limit("plan_epoch")?.unwrap_or(0);
    Ok(Tenant {
        id: id.clone(),
        name: row.text("name")?,
        plan: plan.at_epoch(epoch),
        created_at: row.time("created_at")?,
    })
}

impl Change {
    /// Returns the plan under the lock of the change. `None` if the tenant does not exist.
    pub(super) async fn plan(&mut self, id: &TenantId) -> Result<Option<Plan>, StoreError> {
        let row = self.one(&TENANT_TO_CHANGE, &[id.as_str().into()]).await?;
        Ok(row.map(|row| read(id, &row)).transpose()?.map(|tenant| tenant.plan))
    }

    async fn update_plan(&mut self, id: &TenantId, plan: &Plan) -> Result<(), StoreError> {
        let [tier, per_minute, per_hour, per_day, max_users, epoch] = stored(plan);
        let values = [tier, per_minute, per_hour, per_day, max_users, epoch, id.as_str().into()];
        self.run(&UPDATE_PLAN, &values, Touched::new().key(&cache_keys::tenant(id))).await?;
        Ok(())
    }

    async fn insert_tenant(&mut self, tenant: &Tenant) -> Result<(), StoreError> {
        let [tier, per_minute, per_hour, per_day, max_users, epoch] = stored(&tenant.plan);
        let (id, name, created_at) = (tenant.id.as_str().into(), (&tenant.name).into(), tenant.created_at.into());
        let values = [id, name, tier, per_minute, per_hour, per_day, max_users, epoch, created_at];
        let touched = Touched::new().key(&cache_keys::tenant(&tenant.id));
        if self.run(&INSERT_TENANT, &values, touched).await? == 0 {
            return Err(StoreError::Exists { what: "tenant", id: tenant.id.to_string() });
        }
        Ok(())
    }
}

/// Returns a plan as its columns: tier, per minute, per hour, per day, users, epoch.
fn stored(plan: &Plan) -> [Value<'static>; 6] {
    // The database's integers are signed. Limits are far below their maximum.
    let number = |limit: Option<u64>| Value::from(limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)));
    let own = plan.overrides();
    [
        plan.tier().to_owned().into(),
        number(own.per_minute),
        number(own.per_hour),
        number(own.per_day),
        number(own.max_users.map(u64::from)),
        number(Some(plan.epoch())),
    ]
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::ground::{Ground, tenant};

    pub(crate) async fn no_change_of_a_plan_is_lost_to_another_at_the_same_time(ground: &Ground) {
        let (store, id) = ground.with_tenant().await;
        let one_more = |before: &Plan| -> Result<Plan, StoreError> {
            let per_minute = before.overrides().per_minute.map(|limit| limit + 1);
            Ok(Plan::try_new(TIERS.get(before.tier()).unwrap(), Overrides { per_minute, ..before.overrides() })
                .unwrap())
        };
        let changes = join_all((0..20).map(|_| store.change_plan(&id, one_more))).await;
        assert!(changes.iter().all(|change| matches!(change, Ok(Some(_)))), "{changes:?}");
        let plan = store.tenant(&id).await.unwrap().unwrap().plan;
        assert_eq!(plan.overrides().per_minute, Some(21));
        let mut epochs: Vec<u64> = changes.iter().map(|plan| plan.as_ref().unwrap().unwrap().epoch()).collect();
        epochs.sort_unstable();
        assert!(epochs.is_sorted_by(|one, next| one < next), "{epochs:?}");
        assert_eq!(epochs.last(), Some(&plan.epoch()));
    }

    pub(crate) async fn a_change_that_is_refused_leaves_the_plan_and_the_lock(ground: &Ground) {
        let (store, id) = ground.with_tenant().await;
        let before = store.tenant(&id).await.unwrap().unwrap().plan;
        let refused = store.change_plan(&id, |_| Err(StoreError::CutOff)).await;
        assert!(matches!(refused, Err(StoreError::CutOff)));
        assert_eq!(store.tenant(&id).await.unwrap().unwrap().plan, before);
        let again = store.change_plan(&id, |plan| Ok::<_, StoreError>(*plan)).await.unwrap().unwrap();
        assert_eq!(again.at_epoch(0), before.at_epoch(0));
        assert!(again.epoch() > before.epoch());
        let nobody = "nobody".parse().unwrap();
        assert_eq!(store.change_plan(&nobody, |plan| Ok::<_, StoreError>(*plan)).await.unwrap(), None);
    }

    pub(crate) async fn a_key_leads_to_its_tenant_and_an_id_is_given_once(ground: &Ground) {
        let (store, id) = ground.with_tenant().await;
        let other: TenantId = "other".parse().unwrap();
        let key = ApiKey::generate();
        store.create_tenant(&tenant(&other), &key).await.unwrap();
        assert_eq!(store.tenant_of_key(&key.digest()).await.unwrap(), Some(other.clone()));
        assert_eq!(store.tenant_of_key(&ApiKey::generate().digest()).await.unwrap(), None);
        let again = store.create_tenant(&tenant(&other), &ApiKey::generate()).await.unwrap_err();
        assert!(matches!(&again, StoreError::Exists { what: "tenant", id } if id == "other"), "{again}");
        let found = store.tenant(&id).await.unwrap().unwrap();
        assert_eq!((found.id, found.name.as_str()), (id, "Acme"));
        assert!(store.tenant(&"nobody".parse().unwrap()).await.unwrap().is_none());
    }
    pub(crate) async fn pages_hold_every_tenant_once_by_id(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        let mut expected = vec![acme];
        // In the order of bytes, not of any language.
        for id in ["a-1", "a1", "b", "z9", "0"] {
            expected.push(id.parse().unwrap());
            store.create_tenant(&tenant(expected.last().unwrap()), &ApiKey::generate()).await.unwrap();
        }
        expected.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.tenants(4, after.as_ref()).await.unwrap();
            assert!(page.items.len() <= 4);
            seen.extend(page.items.into_iter().map(|tenant| tenant.id));
            after = page.next_cursor;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
}
