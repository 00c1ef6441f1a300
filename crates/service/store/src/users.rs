//! Users of a tenant, and the limit of its tier on users.

use serde::Serialize;
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::cache_keys;
use tidegate_model::password::StoredPassword;
use tidegate_model::tenant::TenantId;
use tidegate_model::user::{Email, User};
use uuid::Uuid;

use super::sql::accounts::{
    COUNT_USERS, DELETE_SESSIONS, DELETE_USER, INSERT_USER, PASSWORD, SET_PASSWORD, USER, USER_OF_EMAIL, USERS,
};
use super::value::Row;
use super::{Store, StoreError};

/// A page of users.
#[derive(Debug, Clone, Serialize)]
pub struct UserPage {
    /// The users, by id, which is the order of their creation.
    pub items: Vec<User>,
    /// Cursor of the next page. `None` on the last page.
    pub next_cursor: Option<String>,
}

impl Store {
    /// Creates a user. `None` if the tenant does not exist.
    ///
    /// The users are counted in the same transaction, under a lock of the tenant, so concurrent
    /// calls can't exceed the limit.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] if the limit of the tenant's plan is reached. [`StoreError::Exists`] if
    /// the tenant has a user with that address.
    pub async fn create_user(
        &self,
        tenant: &TenantId,
        email: Email,
        name: String,
        password: &StoredPassword,
    ) -> Result<Option<User>, StoreError> {
        let user = User { id: Uuid::now_v7(), email, name, created_at: clock::now() };
        let create = || async {
            let mut change = self.begin_once().await?;
            let Some(plan) = change.plan(tenant).await? else { return Ok(None) };
            if let Some(seats) = plan.limits().max_users() {
                let used = count(change.one(&COUNT_USERS, &[tenant.as_str().into()]).await?.as_ref())?;
                if used >= i64::from(seats) {
                    return Err(StoreError::Full { what: "users", most: seats.into() });
                }
            }
            let values = [
                tenant.as_str().into(),
                user.id.into(),
                user.email.as_str().into(),
                (&user.name).into(),
                password.as_str().into(),
                user.created_at.into(),
            ];
            if change.run(&INSERT_USER, &values, Touched::new()).await? == 0 {
                return Err(StoreError::Exists { what: "user", id: user.email.to_string() });
            }
            change.commit().await?;
            Ok(Some(user.clone()))
        };
        self.db.insist(create).await
    }

    /// Returns the tenant's user with that id.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn user(&self, tenant: &TenantId, id: Uuid) -> Result<Option<User>, StoreError> {
        let row = self.one(&USER, &[tenant.as_str().into(), id.into()]).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Returns at most `limit` of the tenant's users after `after`, in the order of their creation.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn users(&self, tenant: &TenantId, limit: usize, after: Option<Uuid>) -> Result<UserPage, StoreError> {
        // One more than requested, which shows whether there is a next page.
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = self.all(&USERS, &[tenant.as_str().into(), after.into(), wanted.into()]).await?;
        let mut items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| has_more).map(|last| last.id.to_string());
        Ok(UserPage { items, next_cursor })
    }

    /// Returns how many users the tenant has.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn seats_used(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let used = count(self.one(&COUNT_USERS, &[tenant.as_str().into()]).await?.as_ref())?;
        Ok(u64::try_from(used).unwrap_or(0))
    }

    /// Returns the tenant's user with that address, and the password.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn user_of_email(
        &self,
        tenant: &TenantId,
        email: &Email,
    ) -> Result<Option<(User, StoredPassword)>, StoreError> {
        let row = self.one(&USER_OF_EMAIL, &[tenant.as_str().into(), email.as_str().into()]).await?;
        row.map(|row| Ok((read(&row)?, StoredPassword::from_table(row.text("password")?)))).transpose()
    }

    /// Sets a user's password and ends all its sessions. With `before`, only if that is the current
    /// password. Returns whether it was set.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn set_password(
        &self,
        tenant: &TenantId,
        id: Uuid,
        password: &StoredPassword,
        before: Option<&StoredPassword>,
    ) -> Result<bool, StoreError> {
        let set = || async {
            let mut change = self.begin_once().await?;
            let Some(row) = change.one(&PASSWORD, &[tenant.as_str().into(), id.into()]).await? else {
                return Ok(false);
            };
            let found = row.text("password")?;
            if before.is_some_and(|before| before.as_str() != found) {
                return Ok(false);
            }
            let values = [password.as_str().into(), tenant.as_str().into(), id.into()];
            let touched = Touched::new().tag(&cache_keys::sessions_of(tenant, id));
            change.run(&SET_PASSWORD, &values, touched).await?;
            change.run(&DELETE_SESSIONS, &[tenant.as_str().into(), id.into()], Touched::new()).await?;
            change.commit().await?;
            Ok(true)
        };
        self.db.insist(set).await
    }

    /// Deletes a user with its sessions and preferences. Returns whether the tenant had it.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn delete_user(&self, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
        let delete = || async {
            let mut change = self.begin_once().await?;
            let touched =
                Touched::new().tag(&cache_keys::sessions_of(tenant, id)).key(&cache_keys::preferences(tenant, id));
            if change.run(&DELETE_USER, &[tenant.as_str().into(), id.into()], touched).await? == 0 {
                return Ok(false);
            }
            change.commit().await?;
            Ok(true)
        };
        self.db.insist(delete).await
    }
}

fn count(row: Option<&Row>) -> Result<i64, StoreError> {
    row.map_or(Ok(0), |row| row.int("users"))
}

fn read(row: &Row) -> Result<User, StoreError> {
    let id = row.text("id")?;
    let unreadable = |column| StoreError::Unreadable { table: "app_user", id: id.clone(), column };
    Ok(User {
        id: Uuid::try_parse(&id).map_err(|_| unreadable("id"))?,
        email: row.text("email")?.parse().map_err(|_| unreadable("email"))?,
        name: row.text("name")?,
        created_at: row.time("created_at")?,
    })
}

#[cfg(test)]
pub(super) mod tests;
