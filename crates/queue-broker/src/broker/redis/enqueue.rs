//! Enqueues a batch, each job in its partition.

use futures_util::future::join_all;

use super::broker::RedisBroker;
use super::failure::partly;
use crate::broker::{NewJob, Stored};
use crate::error::BrokerError;

impl RedisBroker {
    pub(super) async fn add(&self, name: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, BrokerError> {
        let queue = self.queue_or_make(name).await?;
        if queue.partitions.len() == 1 {
            return Ok(self.carrier.put(&queue, 0, jobs).await?);
        }
        // A queue exists from its first batch on, even an empty one.
        let nothing = jobs.is_empty();
        let mut stored = vec![Stored::Existing; jobs.len()];
        let sorted = queue.by_partition(jobs, NewJob::id).into_iter().enumerate();
        let puts = sorted.filter(|(_, jobs)| nothing || !jobs.is_empty()).map(|(nth, jobs)| {
            let (positions, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
            let (queue, carrier) = (&queue, &self.carrier);
            async move { carrier.put(queue, nth, jobs).await.map(|answers| positions.into_iter().zip(answers)) }
        });
        // Each partition is called, even if another one fails.
        let (mut failure, mut may_have_run) = (None, false);
        for put in join_all(puts).await {
            match put {
                Ok(answers) => {
                    may_have_run = true;
                    answers.for_each(|(position, answer)| stored[position] = answer);
                }
                Err(error) => {
                    let error = BrokerError::from(error);
                    may_have_run |= error.may_have_run();
                    failure = Some(error);
                }
            }
        }
        match failure {
            None => Ok(stored),
            Some(error) if may_have_run => Err(partly(error)),
            Some(error) => Err(error),
        }
    }
}
