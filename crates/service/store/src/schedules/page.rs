//! Pages of schedules, in the order of their start.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use tidegate_model::tenant::TenantId;
use uuid::Uuid;

use super::schedule::{Schedule, read};
use crate::error::StoreError;
use crate::value::{Row, Value};

/// Approximate size in bytes at which a page ends.
const PAGE_BYTES: usize = 1 << 20;

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
#[error("not a cursor of this list; use `next_cursor` of the previous page")]
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

#[cfg(test)]
mod tests {
    use tidegate_base::clock;

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
