//! One queue in memory: jobs by id, and one index ordered by state, rank, time and age.

mod actions;
mod events;
mod holds;
mod leases;
mod lines;
mod read;
mod upkeep;

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::broker::counts::{Tally, slot};
use crate::broker::standing::Standing;
use crate::broker::{GroupCounts, JobEventKind, NewJob, QueueSettings, Stored, Throttle};
use crate::id::{GroupId, JobId};
use crate::record::LogLine;
use crate::state::JobState;
use crate::timestamp::Timestamp;
use crate::unique::OnDuplicate;
use events::Events;
use holds::Holds;
use lines::Lines;

/// State, rank, time, age: the order of every list.
type SortKey = (usize, i64, i64, i64);

struct JobEntry {
    envelope: NewJob,
    created_at: Timestamp,
    seq: i64,
    standing: Standing,
    log: VecDeque<LogLine>,
}

impl JobEntry {
    fn sort_key(&self) -> SortKey {
        let rank = self.standing.rank(self.envelope.priority);
        (slot(self.standing.state), rank, self.standing.at.unix_ms(), self.seq)
    }
}

#[derive(Default)]
pub(super) struct Queue {
    jobs: HashMap<JobId, JobEntry>,
    index: BTreeMap<SortKey, JobId>,
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
            return Stored::Existing;
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
        let entry = JobEntry { envelope, created_at: now, seq, standing, log: VecDeque::new() };
        self.index.insert(entry.sort_key(), id.clone());
        self.events.push(&id, JobEventKind::Enqueued, now);
        self.jobs.insert(id, entry);
        stored
    }

    /// Cancels a job that has not started, for a new one with its key. Returns its old state.
    fn make_way(&mut self, holder: &JobId, for_job: &JobId, now: Timestamp) -> Option<Standing> {
        let standing = self.jobs.get(holder)?.standing.clone();
        if !matches!(standing.state, JobState::Ready | JobState::Delayed | JobState::Waiting) {
            return None;
        }
        self.give_up(holder, format!("replaced by {for_job}"), now);
        Some(standing)
    }

    fn give_up(&mut self, id: &JobId, why: String, now: Timestamp) {
        self.transition(id, now, |job, _| job.give_up(why, now));
        self.events.push(id, JobEventKind::Cancelled, now);
    }

    fn transition<T>(
        &mut self,
        id: &JobId,
        now: Timestamp,
        apply: impl FnOnce(&mut Standing, &mut Tally) -> T,
    ) -> Option<T> {
        let entry = self.jobs.get_mut(id)?;
        let (place, from) = (entry.sort_key(), entry.standing.state);
        let answer = apply(&mut entry.standing, &mut self.totals);
        let to = entry.standing.state;
        self.totals.shift(from, to, 1);
        if let Some(id) = self.index.remove(&place) {
            self.index.insert(entry.sort_key(), id);
        }
        match (from.is_finished(), to.is_finished()) {
            (false, true) => self.has_ended(id, to, now),
            (true, false) => self.has_come_back(id, from, now),
            _ => {}
        }
        Some(answer)
    }

    /// Releases the keys that the ended job held, and updates its group.
    fn has_ended(&mut self, id: &JobId, state: JobState, now: Timestamp) {
        let Some(JobEntry { envelope, seq, .. }) = self.jobs.get(id) else { return };
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

    fn has_come_back(&mut self, id: &JobId, state: JobState, now: Timestamp) {
        let Some(JobEntry { envelope, seq, created_at, .. }) = self.jobs.get(id) else { return };
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

    /// The jobs of one state, in order.
    fn range(&self, state: JobState) -> impl DoubleEndedIterator<Item = (&SortKey, &JobId)> {
        let slot = slot(state);
        self.index.range((slot, i64::MIN, i64::MIN, i64::MIN)..=(slot, i64::MAX, i64::MAX, i64::MAX))
    }

    /// The first ids of one state whose `at` is not after `until`.
    fn first(&self, state: JobState, until: Timestamp, limit: usize) -> Vec<JobId> {
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
        let running = usize::try_from(self.totals.change(JobState::Leased)).unwrap_or(0);
        if self.paused { 0 } else { self.settings.admitted(running, self.throttle, now) }
    }

    fn oldest(&self, state: JobState, rank: i64) -> Option<Timestamp> {
        let range = (slot(state), rank, i64::MIN, i64::MIN)..=(slot(state), rank, i64::MAX, i64::MAX);
        self.index.range(range).next().map(|(place, _)| Timestamp::from_unix_ms(place.2))
    }
}

fn ended_mut(counts: &mut GroupCounts, state: JobState) -> &mut u64 {
    match state {
        JobState::Dead => &mut counts.dead,
        JobState::Cancelled => &mut counts.cancelled,
        _ => &mut counts.done,
    }
}
