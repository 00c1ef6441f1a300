//! Leases: given, renewed and settled.

use std::time::Duration;

use super::{JobEntry, Queue};
use crate::broker::counts::Tally;
use crate::broker::standing::Standing;
use crate::broker::{Fetch, JobEventKind};
use crate::id::JobId;
use crate::lease::{Ack, Heartbeat, LeaseToken, LeasedJob, Nack, Settled};
use crate::record::{LOG_LIMIT, LogLine, Progress, shortened};
use crate::state::JobState;
use crate::timestamp::Timestamp;

impl Queue {
    pub(in crate::broker::memory) fn ack(&mut self, ack: Ack, now: Timestamp) -> Settled {
        let settled = self.settle(&ack.token, now, |standing, tally| standing.complete(ack.result, now, tally));
        if settled == Settled::Now {
            self.events.push(&ack.token.id, JobEventKind::Done, now);
        }
        settled
    }

    pub(in crate::broker::memory) fn nack(&mut self, nack: Nack, now: Timestamp) -> Settled {
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
            Some(JobState::Leased) => {
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
    fn holder(&self, token: &LeaseToken) -> Option<JobState> {
        let standing = &self.jobs.get(&token.id)?.standing;
        let newest = standing.delivery == token.delivery && standing.nonce.as_ref() == Some(&token.nonce);
        newest.then_some(standing.state)
    }

    pub(in crate::broker::memory) fn fetch(&mut self, fetch: &Fetch, now: Timestamp) -> Vec<LeasedJob> {
        let most = fetch.max.min(self.admitted(now));
        let ids: Vec<JobId> = self.range(JobState::Ready).take(most).map(|(_, id)| id.clone()).collect();
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

    pub(in crate::broker::memory) fn heartbeat(
        &mut self,
        tokens: Vec<LeaseToken>,
        lease: Duration,
        now: Timestamp,
    ) -> Heartbeat {
        let deadline = now.after(lease);
        let mut answer = Heartbeat::default();
        for token in tokens {
            if self.holder(&token) != Some(JobState::Leased) {
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

    pub(in crate::broker::memory) fn progress(
        &mut self,
        token: &LeaseToken,
        progress: Progress,
        now: Timestamp,
    ) -> bool {
        let percent = progress.percent;
        let held = self.held(token, |entry| entry.standing.note_progress(progress));
        if held {
            self.events.push(&token.id, JobEventKind::Progress { percent }, now);
        }
        held
    }

    pub(in crate::broker::memory) fn checkpoint(&mut self, token: &LeaseToken, checkpoint: String) -> bool {
        self.held(token, |entry| entry.standing.checkpoint = Some(checkpoint))
    }

    pub(in crate::broker::memory) fn log(&mut self, token: &LeaseToken, lines: Vec<String>, now: Timestamp) -> bool {
        self.held(token, |entry| {
            let lines =
                lines.into_iter().map(|text| LogLine { at: now, delivery: token.delivery, text: shortened(text) });
            entry.log.extend(lines);
            let excess = entry.log.len().saturating_sub(LOG_LIMIT);
            entry.log.drain(..excess);
        })
    }

    /// Changes a job if the token is that of its current lease. Returns whether it is.
    fn held(&mut self, token: &LeaseToken, change: impl FnOnce(&mut JobEntry)) -> bool {
        let held = self.holder(token) == Some(JobState::Leased);
        if let (true, Some(entry)) = (held, self.jobs.get_mut(&token.id)) {
            change(entry);
        }
        held
    }
}
