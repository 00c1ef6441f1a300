//! Settlements that the broker has not answered yet.

use std::time::Duration;

use tokio::time::Instant;

use super::exchange::Batch;
use super::report::ShutdownReport;
use super::run::{Answer, Settlement};
use super::shared::Shared;
use crate::event::Event;
use tidegate_queue_broker::{NackAction, Settled};

/// Most settlements sent in one request.
const BATCH: usize = 500;
/// Once a request has this many bytes of results, no more are added: other callers wait for it.
const BATCH_BYTES: usize = 4 << 20;

#[derive(Default)]
pub(super) struct PendingSettlements {
    pub(super) waiting: Vec<Settlement>,
    /// Settlements whose partition did not answer while others did.
    unanswered: Vec<Settlement>,
    again_at: Option<Instant>,
    tries: u32,
    pub(super) report: ShutdownReport,
}

impl PendingSettlements {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.unanswered.is_empty()
    }

    /// When the unanswered settlements are sent again. `None` if there are none.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.again_at
    }

    /// Removes the settlements that are sent next.
    pub(super) fn batch(&mut self, wanted: usize) -> Batch {
        let mut batch = Batch { wanted, ..Batch::default() };
        let mut bytes = 0;
        let fits = |settlement: &&Settlement| {
            let fits = bytes < BATCH_BYTES;
            bytes += settlement.answer.bytes();
            fits
        };
        let count = self.waiting.iter().take(BATCH).take_while(fits).count();
        for settlement in self.waiting.drain(..count) {
            match settlement.answer {
                Answer::Ack(_) => batch.acks.push(settlement),
                Answer::Nack(_) => batch.nacks.push(settlement),
            }
        }
        batch
    }

    /// Moves unanswered settlements back to those to be sent, once their delay has passed.
    pub(super) fn retry_unanswered(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.waiting.append(&mut self.unanswered);
        }
    }

    /// Processes the broker's answers. Settlements without an answer are kept.
    pub(super) fn take_answers(
        &mut self,
        shared: &Shared,
        queue: &str,
        answers: Vec<(Settlement, Option<Settled>)>,
        failed: bool,
    ) {
        let before = self.unanswered.len();
        for (mut settlement, answer) in answers {
            match answer {
                None => {
                    settlement.refused_since.get_or_insert_with(Instant::now);
                    self.waiting.push(settlement);
                }
                Some(Settled::Unanswered) => {
                    settlement.refused_since = None;
                    self.unanswered.push(settlement);
                }
                Some(Settled::Superseded) => {
                    shared.notify(&Event::StaleAck { queue, id: &settlement.held.token().id });
                }
                Some(Settled::Now | Settled::Before) => {
                    if let Some(group) = settlement.group.filter(|_| settlement.answer.is_final()) {
                        shared.ended_members.note(queue, &group);
                    }
                    match settlement.answer {
                        Answer::Nack(NackAction::Release) => self.report.released += 1,
                        _ => self.report.settled += 1,
                    }
                }
            }
        }
        if self.unanswered.len() > before {
            self.tries = self.tries.saturating_add(1);
            self.again_at = Some(Instant::now() + broker_pause(self.tries));
        } else if self.unanswered.is_empty() {
            self.tries = 0;
        }
        if failed || !self.unanswered.is_empty() {
            self.abandon_expired(shared, queue);
        }
    }

    /// Drops settlements that will never succeed: those that the broker has refused for a whole
    /// lease although it renews the lease. While the broker is unreachable, settlements are kept;
    /// if the worker is stopping, for at most one lease.
    fn abandon_expired(&mut self, shared: &Shared, queue: &str) {
        let is_stopping = shared.stop.is_cancelled();
        let report = &mut self.report;
        let mut keep = |settlement: &Settlement| {
            let is_unrenewed = settlement.held.renewed().elapsed() >= shared.lease;
            let is_refused = settlement.refused_since.is_some_and(|since| since.elapsed() >= shared.lease);
            let is_over = if is_unrenewed { is_stopping } else { is_refused };
            if is_over {
                report.abandoned += 1;
                shared.notify(&Event::AckAbandoned { queue, id: &settlement.held.token().id });
            }
            !is_over
        };
        self.waiting.retain(&mut keep);
        if is_stopping {
            self.unanswered.retain(&mut keep);
        }
    }
}

/// Delay before the next call, after `failures` failures in a row.
pub(super) fn broker_pause(failures: u32) -> Duration {
    Duration::from_millis(50 << failures.min(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::worker::{QueueOptions, Worker};
    use tidegate_queue_broker::{JobId, LeaseToken, MemoryBroker, WorkerId};

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Nothing;

    impl crate::Job for Nothing {
        const KIND: &'static str = "nothing";
        const QUEUE: &'static str = "q";
    }

    async fn nothing(_: Nothing) {}

    /// Each settlement has a whole lease of its own, even if the broker has refused others for
    /// longer.
    #[tokio::test]
    async fn a_settlement_refused_for_the_first_time_is_kept() {
        let lease = Duration::from_millis(100);
        let worker = Worker::builder(Arc::new(MemoryBroker::new())).queue("q", QueueOptions::new()).handler(nothing);
        let shared = worker.lease(lease).build().unwrap().shared;
        let (stopped, _hears) = tokio::sync::mpsc::unbounded_channel();
        let settlement = |id: &str, renewed| {
            let token = LeaseToken { id: JobId::new(id).unwrap(), delivery: 1, nonce: WorkerId::generate() };
            let held = shared.leases.hold(std::iter::once(token), &"q".into(), &stopped, renewed).remove(0);
            Settlement::new(held, Answer::Ack("null".to_owned()), None)
        };
        let mut pending = PendingSettlements::default();
        let since = Instant::now();
        while since.elapsed() < lease {
            tokio::task::yield_now().await;
        }
        let old = settlement("old", Instant::now());
        let old = Settlement { refused_since: Some(since), ..old };
        let answers = vec![(old, None), (settlement("new", Instant::now()), None)];
        pending.take_answers(&shared, "q", answers, true);
        let kept: Vec<_> = pending.waiting.iter().map(|kept| kept.held.token().id.as_str()).collect();
        assert_eq!((kept, pending.report.abandoned), (vec!["new"], 1));
    }
}
