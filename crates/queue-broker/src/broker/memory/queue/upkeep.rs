//! Promotes, reclaims and trims.

use std::time::Duration;

use super::Queue;
use crate::broker::{JobEventKind, Promoted, Reclaim, Reclaimed, Retention};
use crate::state::JobState;
use crate::timestamp::Timestamp;

impl Queue {
    pub(in crate::broker::memory) fn promote(&mut self, limit: usize, now: Timestamp) -> Promoted {
        let ids = self.first(JobState::Delayed, now, limit);
        for id in &ids {
            self.transition(id, now, |job, _| job.promote());
        }
        Promoted { moved: ids.len(), next_due: self.oldest(JobState::Delayed, 0) }
    }

    pub(in crate::broker::memory) fn reclaim(&mut self, request: Reclaim, now: Timestamp) -> Reclaimed {
        let last = std::mem::replace(&mut self.maintained, now);
        if self.totals.change(JobState::Leased) == 0 {
            // No live worker could lose a lease.
            self.reclaim_from = now;
            return Reclaimed::default();
        }
        let backward = now < last;
        if backward || now.since(last) > request.pause {
            self.reclaim_from = now.after(request.lease);
        }
        if backward {
            let longest = now.after(request.lease);
            for id in self.first(JobState::Leased, Timestamp::from_unix_ms(i64::MAX), usize::MAX) {
                self.transition(&id, now, |job, _| job.at = job.at.min(longest));
            }
        }
        let mut answer = Reclaimed { guarded: now < self.reclaim_from, ..Reclaimed::default() };
        if answer.guarded {
            answer.next_in = self.next_expiry(now);
            return answer;
        }
        for id in self.first(JobState::Leased, now, request.limit) {
            let state = self.transition(&id, now, |job, tally| {
                job.expire(request.max_lost, now, tally);
                job.state
            });
            self.events.push(
                &id,
                JobEventKind::or_ended(state.unwrap_or(JobState::Ready), JobEventKind::Reclaimed),
                now,
            );
            match state {
                Some(JobState::Dead) => answer.dead.push(id),
                Some(JobState::Cancelled) => answer.cancelled.push(id),
                _ => answer.ready.push(id),
            }
        }
        answer.next_in = self.next_expiry(now);
        answer
    }

    fn next_expiry(&self, now: Timestamp) -> Option<Duration> {
        self.oldest(JobState::Leased, 0).map(|deadline| deadline.max(self.reclaim_from).since(now))
    }

    pub(in crate::broker::memory) fn prune(&mut self, retention: Retention, limit: usize, now: Timestamp) -> usize {
        self.holds.forget_expired(now);
        let mut removed = 0;
        for (state, age, max) in retention.limits() {
            let aged = self.remove_oldest(state, now.before(age), limit);
            let kept = u64::try_from(self.totals.change(state)).unwrap_or(0);
            let excess = usize::try_from(kept.saturating_sub(max)).unwrap_or(usize::MAX);
            let rest = excess.min(limit - aged);
            removed += aged + self.remove_oldest(state, now, rest);
        }
        removed
    }
}
