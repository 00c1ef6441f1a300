//! Putting jobs into queues.

use std::sync::Arc;

use serde_json::Value;

use crate::broker::{Broker, NewJob, Stored};
use crate::error::{BrokerError, EnqueueError};
use crate::event::{Event, IgnoreEvents, Observer, tell};
use crate::id::JobId;
use crate::job::Job;
use crate::options::EnqueueOptions;

/// Largest payload unless set otherwise: 1 MiB of JSON. Larger things belong in a file that the job
/// names.
pub const DEFAULT_PAYLOAD_LIMIT: usize = 1 << 20;

/// Puts jobs into queues. Cheap to clone.
///
/// When a call returns `Ok`, the jobs are stored as durably as the broker promises. When it fails
/// or is dropped, they may be stored or not; to ask again safely, give the job an id.
#[derive(Clone)]
pub struct Producer {
    pub(crate) broker: Arc<dyn Broker>,
    observer: Arc<dyn Observer>,
    payload_limit: usize,
}

impl Producer {
    /// A producer with the default limit.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self { broker, observer: Arc::new(IgnoreEvents), payload_limit: DEFAULT_PAYLOAD_LIMIT }
    }

    /// Sets who hears of it.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Sets the largest payload, in bytes of JSON.
    #[must_use]
    pub fn with_payload_limit(mut self, bytes: usize) -> Self {
        self.payload_limit = bytes;
        self
    }

    /// Enqueues a job to run at once.
    ///
    /// # Errors
    /// [`EnqueueError`] names the fault.
    pub async fn enqueue<J: Job>(&self, job: &J) -> Result<JobId, EnqueueError> {
        self.enqueue_with(job, EnqueueOptions::new()).await
    }

    /// Enqueues a job.
    ///
    /// # Errors
    /// [`EnqueueError`] names the fault.
    pub async fn enqueue_with<J: Job>(&self, job: &J, options: EnqueueOptions) -> Result<JobId, EnqueueError> {
        let job = NewJob::of(job, options, self.payload_limit)?;
        self.store_one(J::QUEUE, job).await
    }

    /// Enqueues many jobs, all or none, in one step. Ids are in the order of `jobs`. Others wait
    /// while the step runs, about 10 ms for 1,000 small jobs in SQLite: keep far below a lease.
    ///
    /// # Errors
    /// [`EnqueueError`] names the fault; then none was enqueued, unless the broker failed after
    /// storing them.
    pub async fn enqueue_all<J: Job>(&self, jobs: &[J]) -> Result<Vec<JobId>, EnqueueError> {
        let checked = |job| NewJob::of(job, EnqueueOptions::new(), self.payload_limit);
        let mut jobs = jobs.iter().map(checked).collect::<Result<Vec<_>, _>>()?;
        if self.broker.is_partitioned() {
            let route = rand::random();
            jobs = jobs.into_iter().map(|job| job.routed(route)).collect();
        }
        let ids = jobs.iter().map(|job| job.id().clone()).collect();
        self.store(J::QUEUE, jobs).await?;
        Ok(ids)
    }

    /// Enqueues many jobs in one step, each with [options](EnqueueOptions) and a payload limit of its own, see [`NewJob`].
    /// Answers are the ids and what was stored, in the order of `jobs`: a duplicate is no error here.
    ///
    /// All or none. On a queue of several partitions that holds within each of them: jobs without a key and without an id of
    /// your own are put into one, beside the first of the others; a key or a chosen id leads where it leads.
    ///
    /// # Errors
    /// [`EnqueueError`] names the fault; then none was enqueued, unless the broker failed after storing them.
    pub async fn enqueue_batch(
        &self,
        queue: &str,
        mut jobs: Vec<NewJob>,
    ) -> Result<Vec<(JobId, Stored)>, EnqueueError> {
        if self.broker.is_partitioned() {
            jobs = NewJob::together(jobs);
        }
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id().clone()).collect();
        Ok(ids.into_iter().zip(self.store(queue, jobs).await?).collect())
    }

    /// Enqueues a job whose type isn't known here, in the [version](EnqueueOptions::version) that the options tell.
    ///
    /// # Errors
    /// [`EnqueueError`] names the fault.
    pub async fn enqueue_raw(
        &self,
        queue: &str,
        kind: &str,
        payload: &Value,
        options: EnqueueOptions,
    ) -> Result<JobId, EnqueueError> {
        self.store_one(queue, NewJob::new(kind, payload, options, self.payload_limit)?).await
    }

    async fn store_one(&self, queue: &str, job: NewJob) -> Result<JobId, EnqueueError> {
        let id = job.id().clone();
        match self.store(queue, vec![job]).await?.pop() {
            Some(Stored::Duplicate(held_by)) => Err(EnqueueError::Duplicate { held_by }),
            _ => Ok(id),
        }
    }

    async fn store(&self, queue: &str, jobs: Vec<NewJob>) -> Result<Vec<Stored>, EnqueueError> {
        let stored = self.broker.enqueue(queue, jobs).await.map_err(|error| match error {
            BrokerError::QueueName(fault) => EnqueueError::QueueName(fault),
            BrokerError::Group(refusal) => EnqueueError::Group(refusal),
            other => EnqueueError::Broker(other),
        })?;
        let count = stored.iter().filter(|stored| stored.is_new()).count();
        tell(&*self.observer, &Event::Enqueued { queue, count });
        Ok(stored)
    }
}
