//! One queue in memory: jobs by id, and one ordered index over state, rank, time and age.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::broker::counts::{Tally, slot};
use crate::broker::standing::Standing;
use crate::broker::{Change, Cursor, Fetch, NewJob, Page, Promoted, QueueCounts, Reclaim, Reclaimed, Retention};
use crate::clock::Timestamp;
use crate::id::JobId;
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{JobRecord, Progress};
use crate::state::State;

/// State, rank, time, age: the order of every list.
type Place = (usize, i64, i64, i64);

struct Entry {
    envelope: NewJob,
    created_at: Timestamp,
    seq: i64,
    standing: Standing,
}

impl Entry {
    fn place(&self) -> Place {
        let rank = self.standing.rank(self.envelope.priority);
        (slot(self.standing.state), rank, self.standing.at.unix_ms(), self.seq)
    }
}

#[derive(Default)]
pub(super) struct Queue {
    jobs: HashMap<JobId, Entry>,
    index: BTreeMap<Place, JobId>,
    next_seq: i64,
    totals: Tally,
    pub(super) paused: bool,
    last_maintenance: Option<Timestamp>,
    reclaim_from: Timestamp,
}

impl Queue {
    pub(super) fn enqueue(&mut self, jobs: Vec<NewJob>, now: Timestamp) -> usize {
        let before = self.jobs.len();
        for envelope in jobs {
            if self.jobs.contains_key(&envelope.id) {
                continue;
            }
            self.next_seq += 1;
            let standing = Standing::new(now, envelope.due.at(now));
            self.totals.enter(standing.state, 1);
            let id = envelope.id.clone();
            let entry = Entry { envelope, created_at: now, seq: self.next_seq, standing };
            self.index.insert(entry.place(), id.clone());
            self.jobs.insert(id, entry);
        }
        self.jobs.len() - before
    }

    pub(super) fn ack(&mut self, ack: Ack, now: Timestamp) -> Settled {
        self.settle(&ack.token, |standing, tally| standing.complete(ack.result, now, tally))
    }

    pub(super) fn nack(&mut self, nack: Nack, now: Timestamp) -> Settled {
        self.settle(&nack.token, |standing, tally| standing.nack(nack.action, now, tally))
    }

    fn settle(&mut self, token: &LeaseToken, apply: impl FnOnce(&mut Standing, &mut Tally)) -> Settled {
        match self.holder(token) {
            Some(State::Leased) => {
                self.transition(&token.id, apply);
                Settled::Now
            }
            Some(_) => Settled::Before,
            None => {
                self.totals.stale += 1;
                Settled::Superseded
            }
        }
    }

    /// The job's state, where the token names its latest lease.
    fn holder(&self, token: &LeaseToken) -> Option<State> {
        let standing = &self.jobs.get(&token.id)?.standing;
        let newest = standing.delivery == token.delivery && standing.nonce.as_ref() == Some(&token.nonce);
        newest.then_some(standing.state)
    }

    fn transition<T>(&mut self, id: &JobId, apply: impl FnOnce(&mut Standing, &mut Tally) -> T) -> Option<T> {
        let entry = self.jobs.get_mut(id)?;
        let (place, from) = (entry.place(), entry.standing.state);
        let answer = apply(&mut entry.standing, &mut self.totals);
        self.totals.shift(from, entry.standing.state, 1);
        if let Some(id) = self.index.remove(&place) {
            self.index.insert(entry.place(), id);
        }
        Some(answer)
    }

    pub(super) fn change(&mut self, id: &JobId, apply: impl FnOnce(&mut Standing) -> Change) -> Option<Change> {
        self.transition(id, |standing, _| apply(standing))
    }

    /// The first ids of one state, those with `at` up to `until`.
    fn first(&self, state: State, until: Timestamp, limit: usize) -> Vec<JobId> {
        let slot = slot(state);
        let range = (slot, i64::MIN, i64::MIN, i64::MIN)..=(slot, 0, until.unix_ms(), i64::MAX);
        self.index.range(range).take(limit).map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn fetch(&mut self, fetch: &Fetch, now: Timestamp) -> Vec<LeasedJob> {
        if self.paused {
            return Vec::new();
        }
        let ready =
            (slot(State::Ready), i64::MIN, i64::MIN, i64::MIN)..(slot(State::Ready) + 1, i64::MIN, i64::MIN, i64::MIN);
        let ids: Vec<JobId> = self.index.range(ready).take(fetch.max).map(|(_, id)| id.clone()).collect();
        let deadline = now.after(fetch.lease);
        for id in &ids {
            self.transition(id, |job, _| job.lease(fetch.worker.clone(), now, deadline));
        }
        let entries = ids.iter().filter_map(|id| self.jobs.get(id));
        entries
            .map(|entry| LeasedJob {
                token: LeaseToken {
                    id: entry.envelope.id.clone(),
                    delivery: entry.standing.delivery,
                    nonce: fetch.worker.clone(),
                },
                kind: entry.envelope.kind.clone(),
                version: entry.envelope.version,
                payload: entry.envelope.payload.clone(),
                priority: entry.envelope.priority,
                max_attempts: entry.envelope.max_attempts,
                timeout: entry.envelope.timeout,
                failures: entry.standing.failures,
                created_at: entry.created_at,
                ready_at: entry.standing.ready_at,
                leased_at: now,
            })
            .collect()
    }

    pub(super) fn heartbeat(&mut self, tokens: Vec<LeaseToken>, deadline: Timestamp) -> Heartbeat {
        let mut answer = Heartbeat::default();
        for token in tokens {
            if self.holder(&token) != Some(State::Leased) {
                answer.lost.push(token);
                continue;
            }
            let cancelled = self.transition(&token.id, |job, _| {
                job.at = deadline;
                job.cancel_requested
            });
            if cancelled == Some(true) {
                answer.cancelled.push(token);
            }
        }
        answer
    }

    pub(super) fn progress(&mut self, token: &LeaseToken, progress: Progress) -> bool {
        let held = self.holder(token) == Some(State::Leased);
        if held {
            self.transition(&token.id, |job, _| job.note_progress(progress));
        }
        held
    }

    pub(super) fn promote(&mut self, limit: usize, now: Timestamp) -> Promoted {
        let ids = self.first(State::Delayed, now, limit);
        for id in &ids {
            self.transition(id, |job, _| job.promote());
        }
        Promoted { moved: ids.len(), next_due: self.next_due() }
    }

    pub(super) fn reclaim(&mut self, request: Reclaim, now: Timestamp) -> Reclaimed {
        let last = self.last_maintenance.replace(now);
        let backward = last.is_some_and(|last| now < last);
        if last.is_none_or(|last| now.since(last) > request.pause) || backward {
            self.reclaim_from = now.after(request.lease);
        }
        if backward {
            let longest = now.after(request.lease);
            for id in self.first(State::Leased, Timestamp::from_unix_ms(i64::MAX), usize::MAX) {
                self.transition(&id, |job, _| job.at = job.at.min(longest));
            }
        }
        let mut answer = Reclaimed { guarded: now < self.reclaim_from, ..Reclaimed::default() };
        if answer.guarded {
            return answer;
        }
        for id in self.first(State::Leased, now, request.limit) {
            let state = self.transition(&id, |job, tally| {
                job.expire(request.max_lost, now, tally);
                job.state
            });
            match state {
                Some(State::Dead) => answer.dead.push(id),
                Some(State::Cancelled) => answer.cancelled.push(id),
                _ => answer.ready.push(id),
            }
        }
        answer
    }

    pub(super) fn prune(&mut self, retention: Retention, limit: usize, now: Timestamp) -> usize {
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

    pub(super) fn remove_oldest(&mut self, state: State, until: Timestamp, limit: usize) -> usize {
        let ids = self.first(state, until, limit);
        for id in &ids {
            if let Some(entry) = self.jobs.remove(id) {
                self.index.remove(&entry.place());
            }
        }
        self.totals.leave(state, ids.len());
        ids.len()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.paused && self.totals.change(State::Ready) > 0
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.oldest(State::Delayed, 0)
    }

    fn oldest(&self, state: State, rank: i64) -> Option<Timestamp> {
        let range = (slot(state), rank, i64::MIN, i64::MIN)..=(slot(state), rank, i64::MAX, i64::MAX);
        self.index.range(range).next().map(|(place, _)| Timestamp::from_unix_ms(place.2))
    }

    pub(super) fn record(&self, queue: &str, id: &JobId) -> Option<JobRecord> {
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
                deliveries: standing.delivery,
                failures: standing.failures,
                version: envelope.version,
                payload: envelope.payload.clone(),
            }
        })
    }

    pub(super) fn list(&self, queue: &str, state: State, cursor: Option<Cursor>, limit: usize) -> Page {
        let slot = slot(state);
        let (low, high) = ((slot, i64::MIN, i64::MIN, i64::MIN), (slot, i64::MAX, i64::MAX, i64::MAX));
        let after = cursor.map(|c| (slot, c.rank, c.at, c.seq));
        let places: Vec<(&Place, &JobId)> = if state.is_finished() {
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

    pub(super) fn counts(&self, now: Timestamp) -> QueueCounts {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let states = self.totals.states;
        let oldest = (0..=4).filter_map(|rank| self.oldest(State::Ready, rank)).min();
        QueueCounts {
            ready: count(states[0]),
            delayed: count(states[1]),
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
        }
    }
}
