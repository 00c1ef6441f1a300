//! What operators do with jobs.

use super::Queue;
use crate::broker::standing::Standing;
use crate::broker::{Change, JobEventKind};
use crate::id::JobId;
use crate::state::JobState;
use crate::timestamp::Timestamp;

impl Queue {
    pub(in crate::broker::memory) fn cancel(&mut self, id: &JobId, now: Timestamp) -> Change {
        self.change(id, JobEventKind::Cancelled, now, |job| job.cancel(now))
    }

    pub(in crate::broker::memory) fn revive(&mut self, id: &JobId, now: Timestamp) -> Change {
        self.change(id, JobEventKind::Revived, now, |job| job.revive(now))
    }

    fn change(
        &mut self,
        id: &JobId,
        event: JobEventKind,
        now: Timestamp,
        apply: impl FnOnce(&mut Standing) -> Change,
    ) -> Change {
        let change = self.transition(id, now, |job, _| apply(job)).unwrap_or(Change::NotFound);
        if change == Change::Applied {
            self.events.push(id, event, now);
        }
        change
    }

    pub(in crate::broker::memory) fn drain(&mut self, limit: usize, now: Timestamp) -> usize {
        let mut drained = 0;
        let states = [JobState::Ready, JobState::Delayed, JobState::Waiting];
        let mut at = 0;
        while drained < limit && at < states.len() {
            let ids: Vec<JobId> = self.range(states[at]).take(limit - drained).map(|(_, id)| id.clone()).collect();
            // Cancelling a job may release a waiting one, possibly into a state that was empty.
            at = if ids.is_empty() { at + 1 } else { 0 };
            drained += ids.len();
            for id in &ids {
                self.give_up(id, "drained".to_owned(), now);
            }
        }
        drained
    }

    pub(in crate::broker::memory) fn retry_dead(&mut self, limit: usize, now: Timestamp) -> usize {
        let ids: Vec<JobId> = self.range(JobState::Dead).take(limit).map(|(_, id)| id.clone()).collect();
        ids.iter().filter(|id| self.revive(id, now) == Change::Applied).count()
    }

    pub(in crate::broker::memory) fn remove(&mut self, id: &JobId) -> Change {
        match self.jobs.get(id).map(|entry| entry.standing.state) {
            None => Change::NotFound,
            Some(state) if !state.is_finished() => Change::Refused(state),
            Some(state) => {
                if let Some(entry) = self.jobs.remove(id) {
                    self.index.remove(&entry.sort_key());
                    self.totals.leave(state, 1);
                }
                Change::Applied
            }
        }
    }

    pub(in crate::broker::memory) fn remove_oldest(
        &mut self,
        state: JobState,
        until: Timestamp,
        limit: usize,
    ) -> usize {
        let ids = self.first(state, until, limit);
        for id in &ids {
            if let Some(entry) = self.jobs.remove(id) {
                self.index.remove(&entry.sort_key());
            }
        }
        self.totals.leave(state, ids.len());
        ids.len()
    }
}
