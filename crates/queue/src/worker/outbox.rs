//! Settlements on their way to the broker, kept until it answers.

use std::time::Duration;

use super::run::{Answer, Settlement};
use super::{Shared, ShutdownReport};
use crate::broker::Fetch;
use crate::clock::Monotonic;
use crate::error::BrokerError;
use crate::event::Event;
use crate::lease::{Ack, LeasedJob, Nack, NackAction, Settled};

/// Settlements sent in one step.
const BATCH: usize = 500;

#[derive(Default)]
pub(super) struct Outbox {
    acks: Vec<Settlement>,
    nacks: Vec<Settlement>,
    /// Since when the broker refuses what waits here.
    failing_since: Option<Monotonic>,
    pub(super) report: ShutdownReport,
}

impl Outbox {
    pub(super) fn push(&mut self, settlement: Settlement) {
        match settlement.answer {
            Answer::Ack(_) => self.acks.push(settlement),
            Answer::Nack(_) => self.nacks.push(settlement),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.acks.is_empty() && self.nacks.is_empty()
    }

    /// Sends what waits and leases up to `max` jobs. On failure what waits stays.
    pub(super) async fn exchange(
        &mut self,
        shared: &Shared,
        queue: &str,
        max: usize,
    ) -> Result<Vec<LeasedJob>, BrokerError> {
        self.abandon_expired(shared, queue);
        let answer = self.send(shared, queue, max).await;
        let failing = answer.is_err() && !self.is_empty();
        self.failing_since = failing.then(|| self.failing_since.unwrap_or_else(Monotonic::now));
        answer
    }

    async fn send(&mut self, shared: &Shared, queue: &str, max: usize) -> Result<Vec<LeasedJob>, BrokerError> {
        while !self.nacks.is_empty() {
            let count = self.nacks.len().min(BATCH);
            let nacks = self.nacks[..count].iter().filter_map(|settlement| {
                let Answer::Nack(action) = &settlement.answer else { return None };
                Some(Nack { token: settlement.held.token().clone(), action: action.clone() })
            });
            let settled = shared.broker.nack(queue, nacks.collect()).await?;
            let sent: Vec<_> = self.nacks.drain(..count).collect();
            self.settled(shared, queue, sent, &settled);
        }
        if self.acks.is_empty() && max == 0 {
            return Ok(Vec::new());
        }
        let count = self.acks.len().min(BATCH);
        let acks = self.acks[..count].iter().filter_map(|settlement| {
            let Answer::Ack(result) = &settlement.answer else { return None };
            Some(Ack { token: settlement.held.token().clone(), result: result.clone() })
        });
        let fetch = Fetch { worker: shared.id.clone(), max, lease: shared.lease };
        let (settled, leased) = shared.broker.ack_and_fetch(queue, acks.collect(), fetch).await?;
        let sent: Vec<_> = self.acks.drain(..count).collect();
        self.settled(shared, queue, sent, &settled);
        Ok(leased)
    }

    fn settled(&mut self, shared: &Shared, queue: &str, sent: Vec<Settlement>, answers: &[Settled]) {
        for (settlement, answer) in sent.into_iter().zip(answers) {
            if *answer == Settled::Unanswered {
                self.push(settlement);
            } else if *answer == Settled::Superseded {
                shared.tell(&Event::StaleAck { queue, id: &settlement.held.token().id });
            } else if matches!(settlement.answer, Answer::Nack(NackAction::Release)) {
                self.report.released += 1;
            } else {
                self.report.settled += 1;
            }
        }
    }

    /// What the broker refuses for a whole lease, though it renews, goes: it would never end. While the broker is away
    /// everything waits for its answer, unless the worker is told to stop: then no longer than a lease.
    fn abandon_expired(&mut self, shared: &Shared, queue: &str) {
        let is_refused = self.failing_since.is_some_and(|since| since.elapsed() >= shared.lease);
        let report = &mut self.report;
        let mut keep = |settlement: &Settlement| {
            let is_unheard = settlement.held.renewed().elapsed() >= shared.lease;
            let is_over = if is_unheard { shared.stop.is_cancelled() } else { is_refused };
            if is_over {
                report.abandoned += 1;
                shared.tell(&Event::AckAbandoned { queue, id: &settlement.held.token().id });
            }
            !is_over
        };
        self.acks.retain(&mut keep);
        self.nacks.retain(&mut keep);
    }
}

/// Time to leave a failing broker alone after the `failures`th failure in a row.
pub(super) fn broker_pause(failures: u32) -> Duration {
    Duration::from_millis(50 << failures.min(4))
}
