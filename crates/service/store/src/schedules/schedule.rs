//! A schedule, and how it is stored.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_base::clock;
use tidegate_model::schedule::ScheduleDraft;
use uuid::Uuid;

use crate::error::StoreError;
use crate::value::Row;

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
    pub(super) fn asked_again_as(self, wanted: &Self) -> Creation {
        let was_changed = self.updated_at != self.created_at;
        let as_wanted =
            Self { id: self.id, created_at: self.created_at, updated_at: self.updated_at, ..wanted.clone() };
        if was_changed || self == as_wanted { Creation::Repeated(self) } else { Creation::Reused }
    }

    /// Returns when its occurrences are due for a check, in milliseconds as in the tables. The
    /// check itself expands a rule with a start in the past, since that can be slow.
    pub(super) fn first_due(&self) -> Option<i64> {
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

/// Makes a new schedule. UUIDs of version 7 grow with time, so inserts go to the end of the index.
pub(crate) fn new_schedule(draft: &ScheduleDraft) -> Schedule {
    let now = clock::now();
    Schedule { updated_at: now, ..from_draft(Uuid::now_v7(), draft, now) }
}

/// Makes a schedule with the content of the draft.
pub(super) fn from_draft(id: Uuid, draft: &ScheduleDraft, created_at: DateTime<Utc>) -> Schedule {
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

/// Returns the attendees as they are stored.
pub(super) fn json_of(attendees: &[String]) -> String {
    serde_json::Value::from(attendees).to_string()
}

/// Reads a schedule from its row.
pub(crate) fn read(row: &Row) -> Result<Schedule, StoreError> {
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
