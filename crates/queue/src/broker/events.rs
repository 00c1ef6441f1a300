//! What happened in a queue, for whoever wants to follow it: opt-in, bounded, without payloads.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::JobId;
use crate::lease::NackAction;
use crate::state::State;

/// Events kept of one queue, about.
pub(crate) const EVENTS_KEPT: usize = 10_000;

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEvent {
    /// When, by the broker's clock.
    pub at: Timestamp,
    /// To which job.
    pub id: JobId,
    /// What.
    #[serde(flatten)]
    pub what: JobEventKind,
}

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobEventKind {
    /// It was stored.
    Enqueued,
    /// A worker took it.
    Started,
    /// Its run came further.
    Progress {
        /// 0 to 100.
        percent: u8,
    },
    /// It was finished.
    Done,
    /// It failed, and will be tried again.
    Retried,
    /// It was put off.
    Snoozed,
    /// It failed for good.
    Dead,
    /// It was cancelled, discarded, drained or replaced.
    Cancelled,
    /// A worker that shut down gave it back.
    Released,
    /// Its lease had run out and was taken back.
    Reclaimed,
    /// An operator made it ready.
    Revived,
}

impl JobEventKind {
    /// What a nack made of a job that stands so after it.
    pub(crate) const fn of_nack(action: &NackAction, state: State) -> Self {
        match action {
            NackAction::Retry { .. } => Self::or_ended(state, Self::Retried),
            NackAction::Snooze { .. } => Self::or_ended(state, Self::Snoozed),
            NackAction::Release => Self::or_ended(state, Self::Released),
            NackAction::Dead { .. } => Self::Dead,
            NackAction::Discard { .. } => Self::Cancelled,
        }
    }

    /// The event of a job that ended so, else that of one that goes on.
    pub(crate) const fn or_ended(state: State, goes_on: Self) -> Self {
        match state {
            State::Dead => Self::Dead,
            State::Cancelled => Self::Cancelled,
            _ => goes_on,
        }
    }
}

/// How far a reader has come. Opaque text; the broker that gave it understands it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventCursor(pub(crate) String);

impl EventCursor {
    /// Takes back what [`as_str`](Self::as_str) gave. Text of another origin reads as a place before all events.
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

/// Some events, oldest first, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventPage {
    /// The events; those of one job in their order.
    pub events: Vec<JobEvent>,
    /// Where to go on.
    pub cursor: EventCursor,
}
