//! Schedules: reads and writes.

mod page;
mod schedule;
mod snapshot;

use chrono::{DateTime, Utc};
use tidegate_cache::Touched;
use tidegate_model::cache_keys;
use tidegate_model::schedule::ScheduleDraft;
use tidegate_model::tenant::TenantId;
use uuid::Uuid;

use super::sql::Sql;
use super::sql::schedules::{
    CREATED_AT, DELETE, INSERT, INSERT_ONCE, MADE_BEFORE, NEWEST, PAGE, REINDEX, REPLACE, SCHEDULE,
};
use super::value::Row;
use super::{Activity, Change, Store, StoreError};

pub use page::{Cursor, CursorError, Page};
use page::{page_of, page_values};
pub use schedule::{Creation, Schedule};
use schedule::{from_draft, json_of};
pub(super) use schedule::{new_schedule, read};

impl Store {
    /// Returns the tenant's schedule with that id.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn schedule(&self, tenant: &TenantId, id: Uuid) -> Result<Option<Schedule>, StoreError> {
        let row =
            self.one_of(&cache_keys::schedules_of(tenant), &SCHEDULE, &[id.into(), tenant.as_str().into()]).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Returns at most `limit` of the tenant's schedules after `after`, by start and then id. A
    /// page of large schedules ends at about one mebibyte. It is never empty while there are more.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn schedules(&self, tenant: &TenantId, limit: usize, after: Option<Cursor>) -> Result<Page, StoreError> {
        let (tag, values) = (cache_keys::schedules_of(tenant), page_values(tenant, limit, after));
        page_of(&self.all_of(&tag, &PAGE, &values).await?, limit)
    }

    /// Returns the `limit` newest schedules of all tenants, newest first.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    pub async fn newest_schedules(&self, limit: usize) -> Result<Vec<(TenantId, Uuid)>, StoreError> {
        let rows = self.all(&NEWEST, &[i64::try_from(limit).unwrap_or(i64::MAX).into()]).await?;
        let named = |row: &Row| {
            let (id, tenant) = (row.text("id")?, row.text("tenant_id")?);
            let unreadable = |column| StoreError::Unreadable { table: "schedule", id: id.clone(), column };
            Ok((tenant.parse().map_err(|_| unreadable("tenant_id"))?, id.parse().map_err(|_| unreadable("id"))?))
        };
        rows.iter().map(named).collect()
    }

    /// Returns how many schedules the tenant has.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read.
    #[cfg(any(test, feature = "test-support"))]
    pub async fn count_schedules(&self, tenant: &TenantId) -> Result<i64, StoreError> {
        let row = self.one(&super::sql::schedules::COUNT, &[tenant.as_str().into()]).await?;
        row.map_or(Ok(0), |row| row.int("rows"))
    }

    /// Creates a schedule.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn create_schedule(&self, tenant: &TenantId, draft: &ScheduleDraft) -> Result<Schedule, StoreError> {
        let schedule = new_schedule(draft);
        let create = || async {
            let mut change = self.begin_once().await?;
            // If it already exists, a commit whose answer was lost has created and counted it.
            if change.insert_schedule(tenant, &schedule, None).await? {
                change.note(tenant, Activity::Created, 1).await?;
            }
            change.commit().await
        };
        match self.db.insist(create).await {
            // The id is unique to this call, and an insert with an existing id does nothing. So
            // whatever the outcome of the first attempt, it exists after the second.
            Err(StoreError::OutcomeUnknown(_)) => self.db.insist(create).await?,
            created => created?,
        }
        Ok(schedule)
    }

    /// Creates a schedule for a tenant, unless one was created with that idempotency key.
    ///
    /// The key is stored with the schedule, and is removed with it.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written. The request may then be repeated.
    pub async fn create_schedule_once(
        &self,
        tenant: &TenantId,
        draft: &ScheduleDraft,
        key: &str,
    ) -> Result<Creation, StoreError> {
        let schedule = new_schedule(draft);
        let origin = format!("key:{tenant}:{key}");
        let create = || async {
            let mut change = self.begin_once().await?;
            if change.insert(&INSERT_ONCE, tenant, &schedule, Some((&origin, 0))).await? {
                change.note(tenant, Activity::Created, 1).await?;
                change.commit().await?;
                return Ok(Some(Creation::New(schedule.clone())));
            }
            let before = change.one(&MADE_BEFORE, &[origin.as_str().into(), tenant.as_str().into()]).await?;
            let before = before.map(|row| read(&row)).transpose()?;
            Ok(before.map(|before| before.asked_again_as(&schedule)))
        };
        loop {
            let created = match self.db.insist(create).await {
                // The second attempt finds what the first may have created.
                Err(StoreError::OutcomeUnknown(_)) => self.db.insist(create).await?,
                created => created?,
            };
            if let Some(creation) = created {
                return Ok(creation);
            }
            // It was deleted between the two statements.
        }
    }

    /// Replaces the content of a schedule. `None` if the tenant has none with that id.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn replace_schedule(
        &self,
        tenant: &TenantId,
        id: Uuid,
        draft: &ScheduleDraft,
    ) -> Result<Option<Schedule>, StoreError> {
        let replace = || async {
            let mut change = self.begin_once().await?;
            let Some(created_at) = change.created_at(tenant, id).await? else { return Ok(None) };
            let schedule = from_draft(id, draft, created_at);
            let values = [
                (&schedule.title).into(),
                schedule.starts_at.into(),
                schedule.ends_at.into(),
                schedule.recurrence.as_deref().into(),
                json_of(&schedule.attendees).into(),
                schedule.updated_at.into(),
                schedule.first_due().into(),
                id.into(),
                tenant.as_str().into(),
            ];
            change.run(&REPLACE, &values, touched_by(tenant, id)).await?;
            change.forget_reminders(id).await?;
            change.note(tenant, Activity::Updated, 1).await?;
            change.commit().await?;
            Ok(Some(schedule))
        };
        self.db.insist(replace).await
    }

    /// Recomputes when these schedules are due for a check, and drops their cache entries. Returns
    /// how many the tenant has. Idempotent: skips a schedule that changes concurrently.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be read or written.
    pub async fn reindex_schedules(&self, tenant: &TenantId, ids: &[Uuid]) -> Result<u64, StoreError> {
        // In the order in which reminders are prepared, so that the two can't deadlock.
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        let sorted = &sorted;
        let reindex = || async {
            let mut change = self.begin_once().await?;
            let mut reindexed = 0;
            for id in sorted {
                let Some(row) = change.one(&SCHEDULE, &[(*id).into(), tenant.as_str().into()]).await? else { continue };
                let schedule = read(&row)?;
                let values = [
                    schedule.first_due().into(),
                    (*id).into(),
                    tenant.as_str().into(),
                    schedule.starts_at.into(),
                    schedule.recurrence.as_deref().unwrap_or_default().into(),
                ];
                reindexed += change.run(&REINDEX, &values, touched_by(tenant, *id)).await?;
            }
            change.commit().await?;
            Ok(reindexed)
        };
        self.db.insist(reindex).await
    }

    /// Deletes a schedule. Returns whether the tenant had it.
    ///
    /// # Errors
    ///
    /// Fails if the database can't be written.
    pub async fn delete_schedule(&self, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
        let delete = || async {
            let mut change = self.begin_once().await?;
            let values = [id.into(), tenant.as_str().into()];
            if change.run(&DELETE, &values, touched_by(tenant, id)).await? == 0 {
                // Nothing to commit: a request for a missing schedule causes no disk write.
                return Ok(false);
            }
            change.forget_reminders(id).await?;
            change.commit().await?;
            Ok(true)
        };
        self.db.insist(delete).await
    }
}

impl Change {
    async fn created_at(&mut self, tenant: &TenantId, id: Uuid) -> Result<Option<DateTime<Utc>>, StoreError> {
        let row = self.one(&CREATED_AT, &[id.into(), tenant.as_str().into()]).await?;
        row.map(|row| row.time("created_at")).transpose()
    }

    /// Inserts a schedule from the import and line `origin`. Returns whether it is new.
    pub(super) async fn insert_schedule(
        &mut self,
        tenant: &TenantId,
        schedule: &Schedule,
        origin: Option<(&str, u64)>,
    ) -> Result<bool, StoreError> {
        self.insert(&INSERT, tenant, schedule, origin).await
    }

    async fn insert(
        &mut self,
        sql: &'static Sql,
        tenant: &TenantId,
        schedule: &Schedule,
        origin: Option<(&str, u64)>,
    ) -> Result<bool, StoreError> {
        let values = [
            schedule.id.into(),
            tenant.as_str().into(),
            (&schedule.title).into(),
            schedule.starts_at.into(),
            schedule.ends_at.into(),
            schedule.recurrence.as_deref().into(),
            json_of(&schedule.attendees).into(),
            schedule.created_at.into(),
            schedule.updated_at.into(),
            origin.map(|(import, _)| import).into(),
            origin.map(|(_, line)| i64::try_from(line).unwrap_or(i64::MAX)).into(),
            schedule.first_due().into(),
        ];
        // A new id can't be cached. The lists can.
        let written = self.run(sql, &values, Touched::new().tag(&cache_keys::schedules_of(tenant))).await?;
        Ok(written > 0)
    }
}

fn touched_by(tenant: &TenantId, id: Uuid) -> Touched {
    Touched::new().key(&cache_keys::schedule(tenant, id)).tag(&cache_keys::schedules_of(tenant))
}

#[cfg(test)]
pub(super) mod tests;
