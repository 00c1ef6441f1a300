//! Reads jobs, counts and times.

use std::ops::Bound;

use super::{Queue, SortKey};
use crate::broker::counts::slot;
use crate::broker::{Cursor, Page, QueueCounts};
use crate::id::JobId;
use crate::record::{JobRecord, LogLine};
use crate::state::JobState;
use crate::timestamp::Timestamp;

impl Queue {
    pub(in crate::broker::memory) fn logs(&self, id: &JobId) -> Vec<LogLine> {
        self.jobs.get(id).map(|entry| entry.log.iter().cloned().collect()).unwrap_or_default()
    }

    /// Whether a fetch would return jobs, and when to check again because of the time alone.
    pub(in crate::broker::memory) fn outlook(&self, now: Timestamp) -> (bool, Option<Timestamp>) {
        let has_ready = self.totals.change(JobState::Ready) > 0;
        let admitted = self.admitted(now);
        let token = self.settings.next_token(self.throttle, now).filter(|_| has_ready && !self.paused);
        (has_ready && admitted > 0, [self.oldest(JobState::Delayed, 0), token].into_iter().flatten().min())
    }

    pub(in crate::broker::memory) fn record(&self, queue: &str, id: &JobId) -> Option<JobRecord> {
        self.jobs.get(id).map(|entry| {
            let (envelope, standing) = (&entry.envelope, &entry.standing);
            JobRecord {
                id: envelope.id.clone(),
                queue: queue.to_owned(),
                kind: envelope.kind.clone(),
                state: standing.state,
                priority: envelope.priority,
                progress: standing.progress.clone(),
                attempts: standing.attempts(),
                max_attempts: envelope.max_attempts,
                created_at: entry.created_at,
                run_at: standing.run_at,
                finished_at: standing.finished_at,
                result: standing.result.as_deref().and_then(|r| serde_json::from_str(r).ok()),
                note: standing.note.clone(),
                expires_at: envelope.expires_at(entry.created_at),
                ordering_key: envelope.ordering_key.clone(),
                unique_key: envelope.unique.as_ref().map(|unique| unique.key.clone()),
                group: envelope.group.clone(),
                checkpoint: standing.checkpoint.clone(),
                deliveries: standing.delivery,
                failures: standing.failures,
                version: envelope.version,
                payload: envelope.payload.clone(),
            }
        })
    }

    pub(in crate::broker::memory) fn list(
        &self,
        queue: &str,
        state: JobState,
        cursor: Option<Cursor>,
        limit: usize,
    ) -> Page {
        let slot = slot(state);
        let (low, high) = ((slot, i64::MIN, i64::MIN, i64::MIN), (slot, i64::MAX, i64::MAX, i64::MAX));
        let after = cursor.map(|c| (slot, c.rank, c.at, c.seq));
        let places: Vec<(&SortKey, &JobId)> = if state.is_finished() {
            let high = after.map_or(Bound::Included(high), Bound::Excluded);
            self.index.range((Bound::Included(low), high)).rev().take(limit.saturating_add(1)).collect()
        } else {
            let low = after.map_or(Bound::Included(low), Bound::Excluded);
            self.index.range((low, Bound::Included(high))).take(limit.saturating_add(1)).collect()
        };
        let more = places.len() > limit;
        let kept = &places[..places.len().min(limit)];
        let last = kept.last().map(|(place, _)| Cursor { rank: place.1, at: place.2, seq: place.3 });
        Page { items: kept.iter().filter_map(|(_, id)| self.record(queue, id)).collect(), next: last.filter(|_| more) }
    }

    pub(in crate::broker::memory) fn counts(&self, now: Timestamp) -> QueueCounts {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let states = self.totals.states;
        let oldest = (0..=4).filter_map(|rank| self.oldest(JobState::Ready, rank)).min();
        QueueCounts {
            ready: count(states[0]),
            delayed: count(states[1]),
            waiting: count(states[6]),
            leased: count(states[2]),
            done: count(states[3]),
            dead: count(states[4]),
            cancelled: count(states[5]),
            oldest_ready_age: oldest.map(|at| now.since(at)),
            paused: self.paused,
            completed_total: count(self.totals.completed),
            failed_total: count(self.totals.failed),
            retried_total: count(self.totals.retried),
            reclaimed_total: count(self.totals.reclaimed),
            stale_acks_total: count(self.totals.stale),
            recovered_total: 0,
            dropped_total: 0,
        }
    }
}
