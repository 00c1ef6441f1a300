//! A worker's steps one at a time, when asked: the same fetch, run and settlement as in its loop, without the loop and
//! the thread beside it. For tests.

use std::sync::Arc;

use super::outbox::Outbox;
use super::run::{Answer, ending, run};
use super::{QueueOptions, Shared, Worker};
use crate::clock::Monotonic;
use crate::error::BrokerError;
use crate::event::Ending;
use crate::lease::{LeasedJob, NackAction};
use crate::maintenance::PROMOTE_CHUNK;

pub(crate) struct ManualWorker {
    pub(crate) shared: Arc<Shared>,
    queues: Vec<(Arc<str>, QueueOptions)>,
}

/// What became of one run.
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

    /// Runs the next job that is due in the first queue that has one.
    pub(crate) async fn step(&self) -> Result<Option<(Arc<str>, Step)>, BrokerError> {
        for (queue, options) in &self.queues {
            while self.shared.broker.promote(queue, PROMOTE_CHUNK).await?.moved == PROMOTE_CHUNK {}
            let mut outbox = Outbox::default();
            let asked = Monotonic::now();
            if let Some(job) = outbox.exchange(&self.shared, queue, 1).await?.pop() {
                let step = self.run(&mut outbox, queue, options, job, asked).await?;
                return Ok(Some((queue.clone(), step)));
            }
        }
        Ok(None)
    }

    async fn run(
        &self,
        outbox: &mut Outbox,
        queue: &Arc<str>,
        options: &QueueOptions,
        job: LeasedJob,
        asked: Monotonic,
    ) -> Result<Step, BrokerError> {
        let shared = &self.shared;
        let cancel = shared.stop.child_token();
        let held = shared.leases.hold(job.token.clone(), queue.clone(), cancel, asked);
        let settlement = run(shared.clone(), queue.clone(), options.clone(), job.clone(), held).await;
        let answer = settlement.as_ref().map(|settlement| &settlement.answer);
        let step = Step { job, ending: ending(answer), text: answer.and_then(text) };
        if let Some(settlement) = settlement {
            outbox.push(settlement);
        }
        while !outbox.is_empty() {
            outbox.exchange(shared, queue, 0).await?;
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
