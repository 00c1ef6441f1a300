//! Schedules: rows, and pages of them in the order of their start.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_cache::Touched;
use uuid::Uuid;

use super::{Change, Store, StoreError};
use crate::cache_keys;
use crate::clock;
use crate::schedule::ScheduleDraft;
use crate::tenant::TenantId;

/// Bytes of schedules after which a page ends.
const PAGE_BYTES: usize = 1 << 20;

/// A schedule as it is kept and sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// Its id.
    pub id: Uuid,
    /// What it is.
    pub title: String,
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends.
    pub ends_at: DateTime<Utc>,
    /// RFC 5545 RRULE by which it comes again.
    pub recurrence: Option<String>,
    /// Who takes part.
    pub attendees: Vec<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A page of schedules.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// The schedules, by start and then id.
    pub items: Vec<Schedule>,
    /// Where the next page begins; `None` on the last.
    pub next_cursor: Option<String>,
}

/// The last schedule of a page. Written as 48 hexadecimal digits, which clients pass back as they got them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    starts_at: u64,
    id: Uuid,
}

/// A text that is no cursor.
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
    /// The tenant's schedule of that id.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn schedule(&self, tenant: &TenantId, id: Uuid) -> Result<Option<Schedule>, StoreError> {
        sqlx::query(
            "SELECT id, title, starts_at, ends_at, recurrence, attendees, created_at, updated_at
             FROM schedule WHERE id = ? AND tenant_id = ?",
        )
        .bind(id.to_string())
        .bind(tenant.as_str())
        .fetch_optional(&self.reader)
        .await?
        .map(|row| read(&row))
        .transpose()
    }

    /// At most `limit` of the tenant's schedules, from behind `after`, by start and then id. A page ends sooner where
    /// its schedules are large: at about a mebibyte, and never empty while there are more.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn schedules(&self, tenant: &TenantId, limit: usize, after: Option<Cursor>) -> Result<Page, StoreError> {
        // One more than asked tells whether there is a next page.
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let after_start = after.map_or(i64::MIN, |cursor| i64::try_from(cursor.starts_at).unwrap_or(i64::MAX));
        let after_id = after.map(|cursor| cursor.id.to_string()).unwrap_or_default();
        let rows = sqlx::query(
            "SELECT id, title, starts_at, ends_at, recurrence, attendees, created_at, updated_at
             FROM schedule WHERE tenant_id = ? AND (starts_at, id) > (?, ?)
             ORDER BY starts_at, id LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(after_start)
        .bind(after_id)
        .bind(wanted)
        .fetch_all(&self.reader)
        .await?;
        let mut items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let fitting = limit.min(how_many_fit(&items));
        let has_more = items.len() > fitting;
        items.truncate(fitting);
        let next_cursor = items.last().filter(|_| has_more).map(|last| {
            // Times before 1970 don't pass validation.
            Cursor { starts_at: last.starts_at.timestamp_millis().try_into().unwrap_or_default(), id: last.id }
                .to_string()
        });
        Ok(Page { items, next_cursor })
    }

    /// The `limit` newest schedules of all tenants, newest first.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    pub async fn newest_schedules(&self, limit: usize) -> Result<Vec<(TenantId, Uuid)>, StoreError> {
        // Ids grow with time.
        let rows = sqlx::query("SELECT id, tenant_id FROM schedule ORDER BY id DESC LIMIT ?")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.reader)
            .await?;
        let named = |row: &SqliteRow| {
            let id: String = row.try_get("id")?;
            let tenant: String = row.try_get("tenant_id")?;
            let unreadable = |column| StoreError::Unreadable { table: "schedule", id: id.clone(), column };
            Ok((tenant.parse().map_err(|_| unreadable("tenant_id"))?, id.parse().map_err(|_| unreadable("id"))?))
        };
        rows.iter().map(named).collect()
    }

    /// How many schedules the tenant has.
    #[cfg(test)]
    pub(crate) async fn count_schedules(&self, tenant: &TenantId) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM schedule WHERE tenant_id = ?")
            .bind(tenant.as_str())
            .fetch_one(&self.reader)
            .await?;
        Ok(count)
    }

    /// Creates a schedule.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn create_schedule(&self, tenant: &TenantId, draft: &ScheduleDraft) -> Result<Schedule, StoreError> {
        let mut change = self.begin().await?;
        let schedule = change.insert_schedule(tenant, draft, None).await?;
        change.commit().await?;
        Ok(schedule)
    }

    /// Replaces the content of a schedule. `None` when the tenant has none of that id.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn replace_schedule(
        &self,
        tenant: &TenantId,
        id: Uuid,
        draft: &ScheduleDraft,
    ) -> Result<Option<Schedule>, StoreError> {
        let mut change = self.begin().await?;
        let Some(created_at) = change.created_at(tenant, id).await? else { return Ok(None) };
        let schedule = from_draft(id, draft, created_at);
        let statement = sqlx::query(
            "UPDATE schedule SET title = ?, starts_at = ?, ends_at = ?, recurrence = ?, attendees = ?, updated_at = ?
             WHERE id = ? AND tenant_id = ?",
        )
        .bind(&schedule.title)
        .bind(schedule.starts_at.timestamp_millis())
        .bind(schedule.ends_at.timestamp_millis())
        .bind(&schedule.recurrence)
        .bind(json_of(&schedule.attendees))
        .bind(schedule.updated_at.timestamp_millis())
        .bind(id.to_string())
        .bind(tenant.as_str());
        change.execute(statement, touched_by(tenant, id)).await?;
        change.commit().await?;
        Ok(Some(schedule))
    }

    /// Deletes a schedule. Answers whether the tenant had it.
    ///
    /// # Errors
    ///
    /// When the database can't be written.
    pub async fn delete_schedule(&self, tenant: &TenantId, id: Uuid) -> Result<bool, StoreError> {
        let mut change = self.begin().await?;
        let statement = sqlx::query("DELETE FROM schedule WHERE id = ? AND tenant_id = ?")
            .bind(id.to_string())
            .bind(tenant.as_str());
        let found = change.execute(statement, touched_by(tenant, id)).await?.rows_affected() > 0;
        change.commit().await?;
        Ok(found)
    }
}

impl Change {
    async fn created_at(&mut self, tenant: &TenantId, id: Uuid) -> Result<Option<DateTime<Utc>>, StoreError> {
        let created_at: Option<i64> =
            sqlx::query_scalar("SELECT created_at FROM schedule WHERE id = ? AND tenant_id = ?")
                .bind(id.to_string())
                .bind(tenant.as_str())
                .fetch_optional(self.reader())
                .await?;
        Ok(created_at.map(clock::from_ms))
    }

    /// Inserts a schedule; `origin` is the import and line that it comes from.
    pub(super) async fn insert_schedule(
        &mut self,
        tenant: &TenantId,
        draft: &ScheduleDraft,
        origin: Option<(&str, u64)>,
    ) -> Result<Schedule, StoreError> {
        // Version 7 ids grow with time, so that inserts go to the end of the index.
        let schedule = from_draft(Uuid::now_v7(), draft, clock::now());
        let statement = sqlx::query(
            "INSERT INTO schedule (id, tenant_id, title, starts_at, ends_at, recurrence, attendees, created_at,
                                   updated_at, import_id, import_line)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(schedule.id.to_string())
        .bind(tenant.as_str())
        .bind(&schedule.title)
        .bind(schedule.starts_at.timestamp_millis())
        .bind(schedule.ends_at.timestamp_millis())
        .bind(&schedule.recurrence)
        .bind(json_of(&schedule.attendees))
        .bind(schedule.created_at.timestamp_millis())
        .bind(schedule.updated_at.timestamp_millis())
        .bind(origin.map(|(import, _)| import))
        .bind(origin.map(|(_, line)| i64::try_from(line).unwrap_or(i64::MAX)));
        // Nobody can have cached a schedule of an id that is only now made; the lists are another matter.
        self.execute(statement, Touched::new().tag(&cache_keys::schedules_of(tenant))).await?;
        Ok(schedule)
    }
}

/// How many of the schedules make a page of a size that a client can read and a cache can hold.
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

fn read(row: &SqliteRow) -> Result<Schedule, StoreError> {
    let id: String = row.try_get("id")?;
    let unreadable = |column| StoreError::Unreadable { table: "schedule", id: id.clone(), column };
    Ok(Schedule {
        id: Uuid::try_parse(&id).map_err(|_| unreadable("id"))?,
        title: row.try_get("title")?,
        starts_at: clock::from_ms(row.try_get("starts_at")?),
        ends_at: clock::from_ms(row.try_get("ends_at")?),
        recurrence: row.try_get("recurrence")?,
        attendees: serde_json::from_str(row.try_get("attendees")?).map_err(|_| unreadable("attendees"))?,
        created_at: clock::from_ms(row.try_get("created_at")?),
        updated_at: clock::from_ms(row.try_get("updated_at")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
