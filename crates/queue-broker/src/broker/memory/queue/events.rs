//! The latest events of a queue, kept while the setting is on.

use std::collections::VecDeque;

use crate::broker::{EVENTS_KEPT, EventCursor, EventPage, JobEvent, JobEventKind};
use crate::id::JobId;
use crate::timestamp::Timestamp;

#[derive(Default)]
pub(in crate::broker::memory) struct Events {
    is_kept: bool,
    /// Number of the first event kept.
    first: u64,
    kept: VecDeque<JobEvent>,
}

impl Events {
    pub(super) fn keep(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }

    pub(super) fn push(&mut self, id: &JobId, what: JobEventKind, at: Timestamp) {
        if !self.is_kept {
            return;
        }
        if self.kept.len() == EVENTS_KEPT {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(JobEvent { at, id: id.clone(), what });
    }

    pub(in crate::broker::memory) fn after(&self, cursor: Option<&EventCursor>, limit: usize) -> EventPage {
        let end = self.first + self.kept.len() as u64;
        let from = cursor.map_or(end, |cursor| cursor.as_str().parse().unwrap_or(0)).clamp(self.first, end);
        let skipped = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let events: Vec<_> = self.kept.iter().skip(skipped).take(limit).cloned().collect();
        EventPage { cursor: EventCursor((from + events.len() as u64).to_string()), events }
    }
}
