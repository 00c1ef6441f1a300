//! Runs a worker step by step, for tests: fetch, run and settlement are the same as in the loop.
//! The loop and the maintenance thread are left out.

use std::sync::Arc;

use tokio::time::Instant;

use super::Worker;
use super::exchange::{Batch, exchange};
use super::maintenance::PROMOTE_CHUNK;
use super::options::QueueOptions;
use super::pending::PendingSettlements;
use super::run::{Answer, ending};
use super::runs::Runs;
use super::shared::Shared;
use crate::event::Ending;
use crate::group::settled;
use tidegate_queue_broker::{BrokerError, LeasedJob, NackAction};

pub(crate) struct ManualWorker {
    pub(crate) shared: Arc<Shared>,
    queues: Vec<(Arc<str>, QueueOptions)>,
}

/// Result of one run.
pub(crate) struct Step {
    pub(crate) job: LeasedJob,
    pub(crate) ending: Ending,
    /// The result as JSON, the error or the note.
    pub(crate) text: Option<String>,
}

impl Worker {
    pub(crate) fn by_hand(self) -> ManualWorker {
        let queues = self.queues.into_iter().map(|(name, options)| (name.into(), options)).collect();
        ManualWorker { shared: self.shared, queues }
    }
}

impl ManualWorker {
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<str>> {
        self.queues.iter().map(|(name, _)| name)
    }

    /// Runs the next due job of the first queue that has one.
    pub(crate) async fn step(&self) -> Result<Option<(Arc<str>, Step)>, BrokerError> {
        for (queue, options) in &self.queues {
            while self.shared.resources.broker.promote(queue, PROMOTE_CHUNK).await?.moved == PROMOTE_CHUNK {}
            let fetch = Batch { wanted: 1, ..Batch::default() };
            let exchanged = exchange(self.shared.clone(), queue.clone(), fetch).await.into_result()?;
            if let Some(job) = exchanged.leased.into_iter().next() {
                let step = self.run(queue, options, job, exchanged.sent_at).await?;
                return Ok(Some((queue.clone(), step)));
            }
        }
        Ok(None)
    }

    async fn run(
        &self,
        queue: &Arc<str>,
        options: &QueueOptions,
        job: LeasedJob,
        sent_at: Instant,
    ) -> Result<Step, BrokerError> {
        let mut runs = Runs::new(self.shared.clone(), queue.clone(), options.clone());
        let mut pending = PendingSettlements::default();
        pending.waiting = runs.start(vec![job.clone()], sent_at);
        while pending.is_empty() && !runs.is_empty() {
            runs.ended(&mut pending.waiting).await;
        }
        let answer = pending.waiting.first().map(|settlement| &settlement.answer);
        let step = Step { job, ending: ending(answer), text: answer.and_then(text) };
        exchange(self.shared.clone(), queue.clone(), pending.batch(0)).await.into_result()?;
        if let Some(group) = &step.job.group {
            settled(&*self.shared.resources.broker, queue, group).await;
        }
        Ok(step)
    }
}

fn text(answer: &Answer) -> Option<String> {
    let text = match answer {
        Answer::Ack(result) => result,
        Answer::Nack(NackAction::Retry { error, .. } | NackAction::Dead { error }) => error,
        Answer::Nack(NackAction::Discard { reason }) => reason,
        Answer::Nack(NackAction::Snooze { note, .. }) => return note.clone(),
        Answer::Nack(NackAction::Release) => return None,
    };
    Some(text.clone())
}
