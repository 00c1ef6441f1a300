//! One queue in memory: jobs by id, and one index ordered by state, rank, time and age.

mod events;
mod holds;
mod lines;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use crate::broker::counts::{Tally, slot};
use crate::broker::standing::Standing;
use crate::broker::{
    Change, Cursor, Fetch, GroupCounts, JobEventKind, NewJob, Page, Promoted, QueueCounts, QueueSettings, Reclaim,
    Reclaimed, Retention, Stored, Throttle,
};
use crate::clock::Timestamp;
use crate::id::{GroupId, JobId};
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{JobRecord, LOG_LIMIT, LogLine, Progress, shortened};
use crate::state::State;
use crate::unique::OnDuplicate;
use events::Events;
use holds::Holds;
use lines::Lines;

/// State, rank, time, age: the order of every list.
type Place = (usize, i64, i64, i64);

struct Entry {
    envelope: NewJob,
    created_at: Timestamp,
    seq: i64,
    standing: Standing,
    log: VecDeque<LogLine>,
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
    maintained: Timestamp,
    reclaim_from: Timestamp,
    lines: Lines,
    holds: Holds,
    pub(super) groups: HashMap<GroupId, GroupCounts>,
    settings: QueueSettings,
    throttle: Throttle,
    pub(super) events: Events,
}

impl Queue {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { maintained: now, ..Self::default() }
    }

    pub(super) fn enqueue(&mut self, envelope: NewJob, now: Timestamp) -> Stored {
        if self.jobs.contains_key(&envelope.id) {
            return Stored::Known;
        }
        let mut standing = Standing::new(now, envelope.due_at(now));
        let mut stored = Stored::New;
        if let Some(unique) = &envelope.unique {
            if let Some(holder) = self.holds.holder(&unique.key, now) {
                if unique.on_duplicate == OnDuplicate::Reject {
                    return Stored::Duplicate(holder);
                }
                if let Some(replaced) = self.make_way(&holder, &envelope.id, now) {
                    if unique.on_duplicate == OnDuplicate::Replace {
                        standing = replaced.handed_on(now);
                    }
                    stored = Stored::Replaced(holder);
                }
            }
            self.holds.take(unique, &envelope.id, now);
        }
        self.next_seq += 1;
        let (id, seq) = (envelope.id.clone(), self.next_seq);
        if let Some(key) = &envelope.ordering_key
            && !self.lines.join(key, seq, &id)
        {
            standing.wait_behind(now);
        }
        if let Some(group) = &envelope.group {
            self.groups.entry(group.clone()).or_default().total += 1;
        }
        self.totals.enter(standing.state, 1);
        let entry = Entry { envelope, created_at: now, seq, standing, log: VecDeque::new() };
        self.index.insert(entry.place(), id.clone());
        self.events.push(&id, JobEventKind::Enqueued, now);
        self.jobs.insert(id, entry);
        stored
    }

    /// Cancels a job that has not started, for a new one with its key. Returns its old state.
    fn make_way(&mut self, holder: &JobId, for_job: &JobId, now: Timestamp) -> Option<Standing> {
        let standing = self.jobs.get(holder)?.standing.clone();
        if !matches!(standing.state, State::Ready | State::Delayed | State::Waiting) {
            return None;
        }
        self.give_up(holder, format!("replaced by {for_job}"), now);
        Some(standing)
    }

    fn give_up(&mut self, id: &JobId, why: String, now: Timestamp) {
        self.transition(id, now, |job, _| job.give_up(why, now));
        self.events.push(id, JobEventKind::Cancelled, now);
    }

    pub(super) fn ack(&mut self, ack: Ack, now: Timestamp) -> Settled {
        let settled = self.settle(&ack.token, now, |standing, tally| standing.complete(ack.result, now, tally));
        if settled == Settled::Now {
            self.events.push(&ack.token.id, JobEventKind::Done, now);
        }
        settled
    }

    pub(super) fn nack(&mut self, nack: Nack, now: Timestamp) -> Settled {
        let Nack { token, action } = nack;
        let mut event = JobEventKind::Released;
        let settled = self.settle(&token, now, |standing, tally| {
            standing.nack(action.clone(), now, tally);
            event = JobEventKind::of_nack(&action, standing.state);
        });
        if settled == Settled::Now {
            self.events.push(&token.id, event, now);
        }
        settled
    }

    fn settle(&mut self, token: &LeaseToken, now: Timestamp, apply: impl FnOnce(&mut Standing, &mut Tally)) -> Settled {
        match self.holder(token) {
            Some(State::Leased) => {
                self.transition(&token.id, now, apply);
                Settled::Now
            }
            Some(_) => Settled::Before,
            None => {
                self.totals.stale += 1;
                Settled::Superseded
            }
        }
    }

    /// The job's state, if the token is that of its latest lease.
    fn holder(&self, token: &LeaseToken) -> Option<State> {
        let standing = &self.jobs.get(&token.id)?.standing;
        let newest = standing.delivery == token.delivery && standing.nonce.as_ref() == Some(&token.nonce);
        newest.then_some(standing.state)
    }

    fn transition<T>(
        &mut self,
        id: &JobId,
        now: Timestamp,
        apply: impl FnOnce(&mut Standing, &mut Tally) -> T,
    ) -> Option<T> {
        let entry = self.jobs.get_mut(id)?;
        let (place, from) = (entry.place(), entry.standing.state);
        let answer = apply(&mut entry.standing, &mut self.totals);
        let to = entry.standing.state;
        self.totals.shift(from, to, 1);
        if let Some(id) = self.index.remove(&place) {
            self.index.insert(entry.place(), id);
        }
        match (from.is_finished(), to.is_finished()) {
            (false, true) => self.has_ended(id, to, now),
            (true, false) => self.has_come_back(id, from, now),
            _ => {}
        }
        Some(answer)
    }

    /// Releases the keys that the ended job held, and updates its group.
    fn has_ended(&mut self, id: &JobId, state: State, now: Timestamp) {
        let Some(Entry { envelope, seq, .. }) = self.jobs.get(id) else { return };
        if let Some(counts) = envelope.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
            *ended_mut(counts, state) += 1;
        }
        if let Some(unique) = &envelope.unique {
            self.holds.release(&unique.key, id);
        }
        if let Some(key) = &envelope.ordering_key
            && let Some(next) = self.lines.leave(key, *seq, id)
        {
            self.transition(&next, now, |job, _| job.come_forward(now));
        }
    }

    fn has_come_back(&mut self, id: &JobId, state: State, now: Timestamp) {
        let Some(Entry { envelope, seq, created_at, .. }) = self.jobs.get(id) else { return };
        if let Some(counts) = envelope.group.as_ref().and_then(|group| self.groups.get_mut(group)) {
            let ended = ended_mut(counts, state);
            *ended = ended.saturating_sub(1);
        }
        if let Some(key) = &envelope.ordering_key
            && !self.lines.join(key, *seq, id)
        {
            let created_at = *created_at;
            self.transition(id, now, |job, _| job.wait_behind(created_at));
        }
    }

    pub(super) fn cancel(&mut self, id: &JobId, now: Timestamp) -> Change {
        self.change(id, JobEventKind::Cancelled, now, |job| job.cancel(now))
    }

    pub(super) fn revive(&mut self, id: &JobId, now: Timestamp) -> Change {
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

    pub(super) fn drain(&mut self, limit: usize, now: Timestamp) -> usize {
        let mut drained = 0;
        let states = [State::Ready, State::Delayed, State::Waiting];
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

    pub(super) fn retry_dead(&mut self, limit: usize, now: Timestamp) -> usize {
        let ids: Vec<JobId> = self.range(State::Dead).take(limit).map(|(_, id)| id.clone()).collect();
        ids.iter().filter(|id| self.revive(id, now) == Change::Applied).count()
    }

    /// The jobs of one state, in order.
    fn range(&self, state: State) -> impl DoubleEndedIterator<Item = (&Place, &JobId)> {
        let slot = slot(state);
        self.index.range((slot, i64::MIN, i64::MIN, i64::MIN)..=(slot, i64::MAX, i64::MAX, i64::MAX))
    }

    /// The first ids of one state whose `at` is not after `until`.
    fn first(&self, state: State, until: Timestamp, limit: usize) -> Vec<JobId> {
        let slot = slot(state);
        let range = (slot, i64::MIN, i64::MIN, i64::MIN)..=(slot, 0, until.unix_ms(), i64::MAX);
        self.index.range(range).take(limit).map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn configure(&mut self, settings: QueueSettings, now: Timestamp) {
        if settings.rate != self.settings.rate {
            self.throttle.change(self.settings.rate, settings.rate, now);
        }
        self.events.keep(settings.events);
        self.settings = settings;
    }

    pub(super) fn settings(&self) -> QueueSettings {
        self.settings.clone()
    }

    /// Jobs that may start now under the settings.
    fn admitted(&self, now: Timestamp) -> usize {
        let running = usize::try_from(self.totals.change(State::Leased)).unwrap_or(0);
        if self.paused { 0 } else { self.settings.admitted(running, self.throttle, now) }
    }

    pub(super) fn fetch(&mut self, fetch: &Fetch, now: Timestamp) -> Vec<LeasedJob> {
        let most = fetch.max.min(self.admitted(now));
        let ids: Vec<JobId> = self.range(State::Ready).take(most).map(|(_, id)| id.clone()).collect();
        if let Some(rate) = self.settings.rate {
            self.throttle.take(ids.len(), rate, now);
        }
        let deadline = now.after(fetch.lease);
        for id in &ids {
            self.transition(id, now, |job, _| job.lease(fetch.worker.clone(), now, deadline));
            self.events.push(id, JobEventKind::Started, now);
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
                expires_at: entry.envelope.expires_at(entry.created_at),
                trace_parent: entry.envelope.trace_parent.clone(),
                group: entry.envelope.group.clone(),
                checkpoint: entry.standing.checkpoint.clone(),
            })
            .collect()
    }

    pub(super) fn heartbeat(&mut self, tokens: Vec<LeaseToken>, lease: Duration, now: Timestamp) -> Heartbeat {
        let deadline = now.after(lease);
        let mut answer = Heartbeat::default();
        for token in tokens {
            if self.holder(&token) != Some(State::Leased) {
                answer.lost.push(token);
                continue;
            }
            let cancelled = self.transition(&token.id, now, |job, _| {
                job.at = deadline;
                job.cancel_requested
            });
            if cancelled == Some(true) {
                answer.cancelled.push(token);
            }
        }
        answer
    }

    pub(super) fn progress(&mut self, token: &LeaseToken, progress: Progress, now: Timestamp) -> bool {
        let percent = progress.percent;
        let held = self.held(token, |entry| entry.standing.note_progress(progress));
        if held {
            self.events.push(&token.id, JobEventKind::Progress { percent }, now);
        }
        held
    }

    pub(super) fn checkpoint(&mut self, token: &LeaseToken, checkpoint: String) -> bool {
        self.held(token, |entry| entry.standing.checkpoint = Some(checkpoint))
    }

    pub(super) fn log(&mut self, token: &LeaseToken, lines: Vec<String>, now: Timestamp) -> bool {
        self.held(token, |entry| {
            let lines =
                lines.into_iter().map(|text| LogLine { at: now, delivery: token.delivery, text: shortened(text) });
            entry.log.extend(lines);
            let excess = entry.log.len().saturating_sub(LOG_LIMIT);
            entry.log.drain(..excess);
        })
    }

    pub(super) fn logs(&self, id: &JobId) -> Vec<LogLine> {
        self.jobs.get(id).map(|entry| entry.log.iter().cloned().collect()).unwrap_or_default()
    }

    /// Changes a job if the token is that of its current lease. Returns whether it is.
    fn held(&mut self, token: &LeaseToken, change: impl FnOnce(&mut Entry)) -> bool {
        let held = self.holder(token) == Some(State::Leased);
        if let (true, Some(entry)) = (held, self.jobs.get_mut(&token.id)) {
            change(entry);
        }
        held
    }

    pub(super) fn promote(&mut self, limit: usize, now: Timestamp) -> Promoted {
        let ids = self.first(State::Delayed, now, limit);
        for id in &ids {
            self.transition(id, now, |job, _| job.promote());
        }
        Promoted { moved: ids.len(), next_due: self.oldest(State::Delayed, 0) }
    }

    pub(super) fn reclaim(&mut self, request: Reclaim, now: Timestamp) -> Reclaimed {
        let last = std::mem::replace(&mut self.maintained, now);
        if self.totals.change(State::Leased) == 0 {
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
            for id in self.first(State::Leased, Timestamp::from_unix_ms(i64::MAX), usize::MAX) {
                self.transition(&id, now, |job, _| job.at = job.at.min(longest));
            }
        }
        let mut answer = Reclaimed { guarded: now < self.reclaim_from, ..Reclaimed::default() };
        if answer.guarded {
            answer.next_in = self.next_expiry(now);
            return answer;
        }
        for id in self.first(State::Leased, now, request.limit) {
            let state = self.transition(&id, now, |job, tally| {
                job.expire(request.max_lost, now, tally);
                job.state
            });
            self.events.push(&id, JobEventKind::or_ended(state.unwrap_or(State::Ready), JobEventKind::Reclaimed), now);
            match state {
                Some(State::Dead) => answer.dead.push(id),
                Some(State::Cancelled) => answer.cancelled.push(id),
                _ => answer.ready.push(id),
            }
        }
        answer.next_in = self.next_expiry(now);
        answer
    }

    fn next_expiry(&self, now: Timestamp) -> Option<Duration> {
        self.oldest(State::Leased, 0).map(|deadline| deadline.max(self.reclaim_from).since(now))
    }

    pub(super) fn prune(&mut self, retention: Retention, limit: usize, now: Timestamp) -> usize {
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

    pub(super) fn remove(&mut self, id: &JobId) -> Change {
        match self.jobs.get(id).map(|entry| entry.standing.state) {
            None => Change::NotFound,
            Some(state) if !state.is_finished() => Change::Refused(state),
            Some(state) => {
                if let Some(entry) = self.jobs.remove(id) {
                    self.index.remove(&entry.place());
                    self.totals.leave(state, 1);
                }
                Change::Applied
            }
        }
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

    /// Whether a fetch would return jobs, and when to check again because of the time alone.
    pub(super) fn outlook(&self, now: Timestamp) -> (bool, Option<Timestamp>) {
        let has_ready = self.totals.change(State::Ready) > 0;
        let admitted = self.admitted(now);
        let token = self.settings.next_token(self.throttle, now).filter(|_| has_ready && !self.paused);
        (has_ready && admitted > 0, [self.oldest(State::Delayed, 0), token].into_iter().flatten().min())
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

fn ended_mut(counts: &mut GroupCounts, state: State) -> &mut u64 {
    match state {
        State::Dead => &mut counts.dead,
        State::Cancelled => &mut counts.cancelled,
        _ => &mut counts.done,
    }
}
