//! Events of a queue, for readers that follow it: opt-in, limited in number, without payloads.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::lease::NackAction;
use crate::state::JobState;
use crate::timestamp::Timestamp;

/// Approximate number of events kept of one queue.
pub(crate) const EVENTS_KEPT: usize = 10_000;

/// An event of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEvent {
    /// Time of the event, by the broker's clock.
    pub at: Timestamp,
    /// The job.
    pub id: JobId,
    /// Kind of the event.
    #[serde(flatten)]
    pub what: JobEventKind,
}

/// Kind of a job's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobEventKind {
    /// It was stored.
    Enqueued,
    /// A worker leased it.
    Started,
    /// Its run reported progress.
    Progress {
        /// 0 to 100.
        percent: u8,
    },
    /// It is done.
    Done,
    /// It failed, and will be retried.
    Retried,
    /// It was snoozed.
    Snoozed,
    /// It failed for good.
    Dead,
    /// It was cancelled, discarded, drained or replaced.
    Cancelled,
    /// A worker released it at shutdown.
    Released,
    /// Its lease had expired and was reclaimed.
    Reclaimed,
    /// An operator retried it.
    Revived,
}

impl JobEventKind {
    /// The event of a nack, given the job's state after it.
    pub(crate) const fn of_nack(action: &NackAction, state: JobState) -> Self {
        match action {
            NackAction::Retry { .. } => Self::or_ended(state, Self::Retried),
            NackAction::Snooze { .. } => Self::or_ended(state, Self::Snoozed),
            NackAction::Release => Self::or_ended(state, Self::Released),
            NackAction::Dead { .. } => Self::Dead,
            NackAction::Discard { .. } => Self::Cancelled,
        }
    }

    /// The event of an ended job by its state, or `goes_on` for a job that has not ended.
    pub(crate) const fn or_ended(state: JobState, goes_on: Self) -> Self {
        match state {
            JobState::Dead => Self::Dead,
            JobState::Cancelled => Self::Cancelled,
            _ => goes_on,
        }
    }
}

/// Position of a reader. Opaque text that only the broker that returned it understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventCursor(pub(crate) String);

impl EventCursor {
    /// Restores a cursor from [`as_str`](Self::as_str). A text of any other origin reads as a
    /// position before all events.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The cursor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Some events, oldest first, and the position after them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventPage {
    /// The events. Those of one job are in order.
    pub events: Vec<JobEvent>,
    /// Position from which to continue.
    pub cursor: EventCursor,
}
