//! Schedules: rows, and pages in the order of their start.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_base::clock;
use tidegate_cache::Touched;
use tidegate_model::cache_keys;
use tidegate_model::schedule::ScheduleDraft;
use tidegate_model::tenant::TenantId;
use uuid::Uuid;

use super::sql::Sql;
use super::sql::schedules::{
    CREATED_AT, DELETE, INSERT, INSERT_ONCE, MADE_BEFORE, NEWEST, PAGE, REINDEX, REPLACE, SCHEDULE,
};
use super::value::{Row, Value};
use super::{Activity, Change, Store, StoreError};

/// Approximate size in bytes at which a page ends.
const PAGE_BYTES: usize = 1 << 20;

/// A schedule as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Schedule {
    /// Its id.
    pub id: Uuid,
    /// Title.
    pub title: String,
    /// Start.
    pub starts_at: DateTime<Utc>,
    /// End.
    pub ends_at: DateTime<Utc>,
    /// RFC 5545 RRULE. `None` if it does not repeat.
    pub recurrence: Option<String>,
    /// Attendees: names or e-mail addresses.
    pub attendees: Vec<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Schedule {
    /// Returns the attendees that are e-mail addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.attendees.iter().map(String::as_str).filter(|attendee| attendee.contains('@'))
    }

    /// Returns the result for a client that requests `wanted` with the idempotency key of this
    /// schedule. A schedule that was changed since counts as repeated: its first content is
    /// unknown.
    fn asked_again_as(self, wanted: &Self) -> Creation {
        let was_changed = self.updated_at != self.created_at;
        let as_wanted =
            Self { id: self.id, created_at: self.created_at, updated_at: self.updated_at, ..wanted.clone() };
        if was_changed || self == as_wanted { Creation::Repeated(self) } else { Creation::Reused }
    }

    /// Returns when its occurrences are due for a check, in milliseconds as in the tables. The
    /// check itself expands a rule with a start in the past, since that can be slow.
    fn first_due(&self) -> Option<i64> {
        let is_due = self.recurrence.is_some() || self.starts_at > clock::now();
        is_due.then(|| self.starts_at.timestamp_millis())
    }
}

/// Result of a creation with an idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub enum Creation {
    /// It was created.
    New(Schedule),
    /// It was created by an earlier request. Contains its current state.
    Repeated(Schedule),
    /// The key was used for another schedule.
    Reused,
}

/// A page of schedules.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// The schedules, by start and then id.
    pub items: Vec<Schedule>,
    /// Cursor of the next page. `None` on the last page.
    pub next_cursor: Option<String>,
}

/// The last schedule of a page, as 48 hexadecimal digits, which clients send back unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    starts_at: u64,
    id: Uuid,
}

/// The text is not a valid cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list; take `next_cursor` of the page before")]
pub struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.starts_at, self.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (starts_at, id) = text.split_at_checked(16).ok_or(CursorError)?;
        if id.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CursorError);
        }
        Ok(Self {
            starts_at: u64::from_str_radix(starts_at, 16).map_err(|_| CursorError)?,
            id: Uuid::try_parse(id).map_err(|_| CursorError)?,
        })
    }
}

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

/// Returns the parameters of the query for a page of at most `limit` schedules after `after`.
pub(super) fn page_values<'a>(tenant: &'a TenantId, limit: usize, after: Option<Cursor>) -> [Value<'a>; 4] {
    // One more than requested, which shows whether there is a next page.
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let after_start = after.map_or(i64::MIN, |cursor| i64::try_from(cursor.starts_at).unwrap_or(i64::MAX));
    let after_id = after.map(|cursor| cursor.id.to_string()).unwrap_or_default();
    [tenant.as_str().into(), after_start.into(), after_id.into(), wanted.into()]
}

/// Makes the page of these rows.
pub(super) fn page_of(rows: &[Row], limit: usize) -> Result<Page, StoreError> {
    let mut items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let fitting = limit.min(how_many_fit(&items));
    let has_more = items.len() > fitting;
    items.truncate(fitting);
    let next_cursor = items.last().filter(|_| has_more).map(|last| {
        // Validation rejects times before 1970.
        Cursor { starts_at: last.starts_at.timestamp_millis().try_into().unwrap_or_default(), id: last.id }.to_string()
    });
    Ok(Page { items, next_cursor })
}

/// Makes a new schedule. UUIDs of version 7 grow with time, so inserts go to the end of the index.
pub(super) fn new_schedule(draft: &ScheduleDraft) -> Schedule {
    let now = clock::now();
    Schedule { updated_at: now, ..from_draft(Uuid::now_v7(), draft, now) }
}

/// Returns how many of the schedules fit on a page that clients can read and a cache can store.
fn how_many_fit(items: &[Schedule]) -> usize {
    let size = |schedule: &Schedule| {
        let attendees: usize = schedule.attendees.iter().map(|attendee| attendee.len() + 3).sum();
        schedule.title.len() + schedule.recurrence.as_ref().map_or(0, String::len) + attendees + 256
    };
    let sizes = items.iter().scan(0, |sum, schedule| {
        *sum += size(schedule);
        Some(*sum)
    });
    sizes.take_while(|sum| *sum <= PAGE_BYTES).count().max(1)
}

fn touched_by(tenant: &TenantId, id: Uuid) -> Touched {
    Touched::new().key(&cache_keys::schedule(tenant, id)).tag(&cache_keys::schedules_of(tenant))
}

fn from_draft(id: Uuid, draft: &ScheduleDraft, created_at: DateTime<Utc>) -> Schedule {
    Schedule {
        id,
        title: draft.title().to_owned(),
        starts_at: draft.starts_at(),
        ends_at: draft.ends_at(),
        recurrence: draft.recurrence().map(ToString::to_string),
        attendees: draft.attendees().iter().map(ToString::to_string).collect(),
        created_at,
        updated_at: clock::now(),
    }
}

fn json_of(attendees: &[String]) -> String {
    serde_json::Value::from(attendees).to_string()
}

pub(super) fn read(row: &Row) -> Result<Schedule, StoreError> {
    let id = row.text("id")?;
    let unreadable = |column| StoreError::Unreadable { table: "schedule", id: id.clone(), column };
    Ok(Schedule {
        id: Uuid::try_parse(&id).map_err(|_| unreadable("id"))?,
        title: row.text("title")?,
        starts_at: row.time("starts_at")?,
        ends_at: row.time("ends_at")?,
        recurrence: row.opt_text("recurrence")?,
        attendees: serde_json::from_str(&row.text("attendees")?).map_err(|_| unreadable("attendees"))?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use tidegate_model::schedule::RawSchedule;
    use tidegate_model::tenant::ApiKey;

    use super::*;
    use crate::ground::{Ground, tenant};

    fn schedule(attendees: usize) -> Schedule {
        let now = clock::now();
        let attendees = vec!["x".repeat(300); attendees];
        let title = "t".to_owned();
        let id = Uuid::now_v7();
        Schedule {
            id,
            title,
            starts_at: now,
            ends_at: now,
            recurrence: None,
            attendees,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn a_page_ends_by_its_bytes_and_is_never_empty() {
        assert_eq!(how_many_fit(&[]), 1);
        assert_eq!(how_many_fit(&vec![schedule(0); 201]), 201);
        let large = how_many_fit(&vec![schedule(200); 201]);
        assert!((10..20).contains(&large), "{large}");
        assert_eq!(how_many_fit(&[schedule(100_000), schedule(0)]), 1);
    }

    #[test]
    fn cursors_survive_text_and_refuse_noise() {
        let cursor = Cursor { starts_at: 1_893_456_000_000, id: Uuid::now_v7() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "1", &"g".repeat(48), &"0".repeat(47), &"ä".repeat(24)] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
        }
    }

    pub(crate) async fn a_key_makes_one_schedule_and_goes_with_it(ground: &Ground) {
        let (store, acme) = ground.with_tenant().await;
        let other: TenantId = "other".parse().unwrap();
        store.create_tenant(&tenant(&other), &ApiKey::generate()).await.unwrap();
        let (wanted, another) = (draft("One", 9), draft("Two", 9));
        let ask = async |tenant, draft| store.create_schedule_once(tenant, draft, "k").await.unwrap();
        let Creation::New(made) = ask(&acme, &wanted).await else { panic!("nothing was there") };
        assert_eq!(store.schedule(&acme, made.id).await.unwrap().as_ref(), Some(&made));
        assert_eq!(ask(&acme, &wanted).await, Creation::Repeated(made.clone()));
        assert_eq!(ask(&acme, &another).await, Creation::Reused);
        assert!(matches!(ask(&other, &wanted).await, Creation::New(_)), "a key is its tenant's alone");

        let changed = loop {
            let changed = store.replace_schedule(&acme, made.id, &draft("Moved", 10)).await.unwrap().unwrap();
            // Within the same millisecond it would look unchanged.
            if changed.updated_at > changed.created_at {
                break changed;
            }
        };
        assert_eq!(ask(&acme, &wanted).await, Creation::Repeated(changed));
        assert_eq!(store.schedules(&acme, 10, None).await.unwrap().items.len(), 1);
        assert!(store.delete_schedule(&acme, made.id).await.unwrap());
        assert!(matches!(ask(&acme, &wanted).await, Creation::New(again) if again.id != made.id));
    }

    pub(crate) fn draft(title: &str, hour: u32) -> ScheduleDraft {
        let raw = RawSchedule {
            title: title.to_owned(),
            starts_at: format!("2030-01-07T{hour:02}:00:00Z"),
            ends_at: "2030-01-07T23:15:00Z".to_owned(),
            recurrence: Some("FREQ=DAILY;COUNT=3".to_owned()),
            attendees: vec!["ada@example.org".to_owned(), "Zo\u{eb} O'Neill".to_owned()],
        };
        ScheduleDraft::try_new(&raw).unwrap()
    }

    pub(crate) async fn a_schedule_is_created_read_replaced_and_deleted(ground: &Ground) {
        let (store, tenant) = ground.with_tenant().await;
        let created = store.create_schedule(&tenant, &draft("one", 9)).await.unwrap();
        assert_eq!(store.schedule(&tenant, created.id).await.unwrap().as_ref(), Some(&created));
        let replaced = store.replace_schedule(&tenant, created.id, &draft("two", 10)).await.unwrap().unwrap();
        assert_eq!((replaced.title.as_str(), replaced.created_at), ("two", created.created_at));
        assert_eq!(store.schedule(&tenant, created.id).await.unwrap(), Some(replaced));

        let other = "other".parse().unwrap();
        assert_eq!(store.schedule(&other, created.id).await.unwrap(), None);
        assert_eq!(store.replace_schedule(&other, created.id, &draft("theirs", 9)).await.unwrap(), None);
        assert!(!store.delete_schedule(&other, created.id).await.unwrap());
        assert!(store.delete_schedule(&tenant, created.id).await.unwrap());
        assert!(!store.delete_schedule(&tenant, created.id).await.unwrap());
        assert_eq!(store.schedule(&tenant, created.id).await.unwrap(), None);
    }

    pub(crate) async fn pages_hold_every_schedule_once_in_order_of_start_and_id(ground: &Ground) {
        let (store, tenant) = ground.with_tenant().await;
        let mut ids = BTreeSet::new();
        for number in 0..23 {
            let schedule = store.create_schedule(&tenant, &draft("any", 9 + number % 3)).await.unwrap();
            ids.insert((schedule.starts_at, schedule.id));
        }
        for limit in [1, 7, 23, 100] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = store.schedules(&tenant, limit, after).await.unwrap();
                assert!(page.items.len() <= limit);
                found.extend(page.items.iter().map(|schedule| (schedule.starts_at, schedule.id)));
                let Some(cursor) = page.next_cursor else { break };
                after = Some(cursor.parse().unwrap());
            }
            assert_eq!(found, ids.iter().copied().collect::<Vec<_>>());
        }
        assert_eq!(store.count_schedules(&tenant).await.unwrap(), 23);
    }

    pub(crate) async fn the_newest_schedules_come_first(ground: &Ground) {
        let (store, tenant) = ground.with_tenant().await;
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.insert(0, store.create_schedule(&tenant, &draft("any", 9)).await.unwrap().id);
        }
        let newest = store.newest_schedules(3).await.unwrap();
        assert_eq!(newest, ids.iter().take(3).map(|id| (tenant.clone(), *id)).collect::<Vec<_>>());
    }
}
