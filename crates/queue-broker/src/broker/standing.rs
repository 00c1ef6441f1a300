//! The mutable half of a job, and its transitions as pure functions of the time.
//!
//! The memory broker uses all of them. The SQLite broker uses the rare ones, and writes the
//! frequent ones (lease, complete, extend, promote) as one statement for many rows. The conformance
//! suite and the state-machine model check that both agree.

use crate::broker::counts::Tally;
use crate::broker::request::Change;
use crate::id::WorkerId;
use crate::lease::NackAction;
use crate::record::{Attempt, Progress, shortened, shortened_to};
use crate::state::{JobState, Priority};
use crate::timestamp::Timestamp;

/// Attempts kept in a job's history.
const HISTORY_LIMIT: usize = 32;
/// Bytes of errors in a history that are kept uncut, from the latest error back.
const HISTORY_BYTES: usize = 6 * 1024;
/// Bytes kept of each error before those.
const HISTORY_LEAST: usize = 64;

/// The mutable half of a job. The other half is the envelope.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) state: JobState,
    /// Sort key of jobs in one state: time it became ready, due time, deadline, or time it
    /// finished.
    pub(crate) at: Timestamp,
    pub(crate) ready_at: Timestamp,
    pub(crate) run_at: Timestamp,
    pub(crate) delivery: u32,
    /// Holder of the latest lease. Cleared when the lease is reclaimed.
    pub(crate) nonce: Option<WorkerId>,
    pub(crate) failures: u32,
    pub(crate) lost: u32,
    /// Highest percentage of all runs.
    pub(crate) furthest: u8,
    pub(crate) cancel_requested: bool,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) progress: Option<Progress>,
    pub(crate) result: Option<String>,
    pub(crate) history: Vec<Attempt>,
    pub(crate) note: Option<String>,
    pub(crate) checkpoint: Option<String>,
}

impl Standing {
    /// Stores progress. A run that gets further than all before it shows that the job does not just
    /// kill its workers, so the count of lost leases restarts.
    pub(crate) fn note_progress(&mut self, progress: Progress) {
        if progress.percent > self.furthest {
            self.furthest = progress.percent;
            self.lost = 0;
        }
        self.progress = Some(progress);
    }

    pub(crate) fn new(now: Timestamp, run_at: Timestamp) -> Self {
        let due = run_at <= now;
        Self {
            state: if due { JobState::Ready } else { JobState::Delayed },
            at: if due { now } else { run_at },
            ready_at: if due { now } else { run_at },
            run_at,
            delivery: 0,
            nonce: None,
            failures: 0,
            lost: 0,
            furthest: 0,
            cancel_requested: false,
            started_at: None,
            finished_at: None,
            progress: None,
            result: None,
            history: Vec::new(),
            note: None,
            checkpoint: None,
        }
    }

    /// Jobs of one state are ordered by rank, then `at`, then age.
    pub(crate) fn rank(&self, priority: Priority) -> i64 {
        if self.state == JobState::Ready { i64::from(priority.level()) } else { 0 }
    }

    pub(crate) fn lease(&mut self, worker: WorkerId, now: Timestamp, deadline: Timestamp) {
        self.state = JobState::Leased;
        self.at = deadline;
        self.delivery += 1;
        self.nonce = Some(worker);
        self.started_at = Some(now);
        self.progress = None;
        self.note = None;
    }

    pub(crate) fn complete(&mut self, result: String, now: Timestamp, tally: &mut Tally) {
        tally.completed += 1;
        self.result = Some(result);
        self.finish(JobState::Done, now);
    }

    pub(crate) fn promote(&mut self) {
        self.state = JobState::Ready;
        self.ready_at = self.at;
    }

    pub(crate) fn nack(&mut self, action: NackAction, now: Timestamp, tally: &mut Tally) {
        match action {
            NackAction::Retry { delay, error } => {
                self.failures += 1;
                self.remember(error, now);
                if self.cancelled_instead(now) {
                    return;
                }
                tally.retried += 1;
                self.postpone(now.after(delay), now);
            }
            NackAction::Snooze { delay, note } => {
                if !self.cancelled_instead(now) {
                    self.note = note.map(shortened);
                    self.postpone(now.after(delay), now);
                }
            }
            NackAction::Dead { error } => {
                self.failures += 1;
                self.remember(error, now);
                tally.failed += 1;
                self.finish(JobState::Dead, now);
            }
            NackAction::Release => {
                if !self.cancelled_instead(now) {
                    self.state = JobState::Ready;
                    self.at = self.ready_at;
                }
            }
            NackAction::Discard { reason } => {
                self.note = Some(shortened(reason));
                self.finish(JobState::Cancelled, now);
            }
        }
    }

    /// Expires a lease.
    pub(crate) fn expire(&mut self, max_lost: u32, now: Timestamp, tally: &mut Tally) {
        tally.reclaimed += 1;
        self.lost += 1;
        let holder = self.nonce.take();
        let holder = holder.as_ref().map_or("unknown", WorkerId::as_str);
        self.remember(format!("lease expired at worker {holder}"), now);
        if self.cancelled_instead(now) {
            return;
        }
        if self.lost >= max_lost {
            tally.failed += 1;
            self.note = Some(format!("lost {} leases", self.lost));
            self.finish(JobState::Dead, now);
        } else {
            self.postpone(now, now);
        }
    }

    pub(crate) fn cancel(&mut self, now: Timestamp) -> Change {
        match self.state {
            JobState::Ready | JobState::Delayed | JobState::Waiting => {
                self.finish(JobState::Cancelled, now);
                Change::Applied
            }
            JobState::Leased => {
                self.cancel_requested = true;
                Change::Requested
            }
            finished @ (JobState::Done | JobState::Dead | JobState::Cancelled) => Change::Refused(finished),
        }
    }

    /// Initial state of a job that replaces this one.
    pub(crate) fn handed_on(&self, now: Timestamp) -> Self {
        let new = Self::new(now, self.run_at);
        // A job that waits for its ordering key has no place to hand over.
        if self.state == JobState::Waiting {
            return new;
        }
        Self { state: self.state, at: self.at, ready_at: self.ready_at, run_at: self.run_at, ..new }
    }

    /// Cancels a job that has not started, with a reason.
    pub(crate) fn give_up(&mut self, why: String, now: Timestamp) {
        self.note = Some(why);
        self.finish(JobState::Cancelled, now);
    }

    /// Makes the job wait for an earlier job of its ordering key.
    pub(crate) fn wait_behind(&mut self, created_at: Timestamp) {
        self.state = JobState::Waiting;
        self.at = created_at;
    }

    /// Called when the earlier jobs of its ordering key have ended.
    pub(crate) fn come_forward(&mut self, now: Timestamp) {
        let due = self.run_at.max(now);
        self.state = if due <= now { JobState::Ready } else { JobState::Delayed };
        self.at = due;
        self.ready_at = due;
    }

    pub(crate) fn revive(&mut self, now: Timestamp) -> Change {
        match self.state {
            JobState::Delayed => {}
            JobState::Dead | JobState::Cancelled => {
                self.nonce = None;
                self.failures = 0;
                self.lost = 0;
                self.furthest = 0;
                self.cancel_requested = false;
                self.finished_at = None;
                self.progress = None;
            }
            other => return Change::Refused(other),
        }
        self.note = None;
        self.run_at = now;
        self.postpone(now, now);
        Change::Applied
    }

    /// The history as readers see it: past attempts, then the one that succeeded or is in progress.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = self.history.clone();
        if let (JobState::Leased | JobState::Done, Some(started_at)) = (self.state, self.started_at) {
            attempts.push(Attempt { started_at, ended_at: self.finished_at, error: None });
        }
        attempts
    }

    fn postpone(&mut self, due: Timestamp, now: Timestamp) {
        self.state = if due <= now { JobState::Ready } else { JobState::Delayed };
        self.at = due;
        self.ready_at = due;
        self.run_at = due;
    }

    fn finish(&mut self, state: JobState, now: Timestamp) {
        self.state = state;
        self.at = now;
        self.finished_at = Some(now);
    }

    fn cancelled_instead(&mut self, now: Timestamp) -> bool {
        if self.cancel_requested {
            self.note = Some("cancelled while running".to_owned());
            self.finish(JobState::Cancelled, now);
        }
        self.cancel_requested
    }

    fn remember(&mut self, error: String, now: Timestamp) {
        if self.history.len() >= HISTORY_LIMIT {
            self.history.remove(0);
        }
        self.history.push(Attempt {
            started_at: self.started_at.unwrap_or(now),
            ended_at: Some(now),
            error: Some(shortened(error)),
        });
        // Every failure reads and writes the whole history. The scripts of the Redis broker count
        // in the same way.
        let mut left = HISTORY_BYTES;
        for error in self.history.iter_mut().rev().filter_map(|attempt| attempt.error.as_mut()) {
            if error.len() > left.max(HISTORY_LEAST) {
                *error = shortened_to(std::mem::take(error), left.max(HISTORY_LEAST));
            }
            left = left.saturating_sub(error.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TEXT_LIMIT;
    use std::time::Duration;

    #[test]
    fn history_and_errors_are_bounded() {
        let now = Timestamp::from_unix_ms(1_000);
        let mut standing = Standing::new(now, now);
        let mut tally = Tally::default();
        for n in 0..100 {
            standing.lease(WorkerId::generate(), now, now);
            let error = format!("{n} {}", "ä".repeat(5_000));
            standing.nack(NackAction::Retry { delay: Duration::ZERO, error }, now, &mut tally);
        }
        assert_eq!(standing.history.len(), HISTORY_LIMIT);
        let last = standing.history.last().and_then(|a| a.error.as_deref()).unwrap();
        assert!(last.starts_with("99 ä") && last.len() <= TEXT_LIMIT + '…'.len_utf8());
        assert_eq!((standing.failures, tally.retried), (100, 100));
        let errors: Vec<_> = standing.history.iter().map(|a| a.error.as_deref().unwrap()).collect();
        assert!(errors.iter().map(|error| error.len()).sum::<usize>() < 8_400);
        assert!(errors[30].starts_with("98 ä") && errors[30].len() > 2_000, "what there is room for");
        assert!(errors[..30].iter().all(|error| (60..=67).contains(&error.len()) && error.ends_with("ä…")));
        assert!(errors[0].starts_with("68 "));
    }
}
