//! Enqueueing jobs.

use std::sync::Arc;

use serde_json::Value;

use crate::event::{Event, IgnoreEvents, Observer, notify};
use tidegate_queue_broker::{Broker, BrokerError, EnqueueError, EnqueueOptions, Job, JobId, NewJob, Stored};

/// Default limit on the size of a payload: 1 MiB of JSON. Store larger data in a file that the job
/// names.
pub const DEFAULT_PAYLOAD_LIMIT: usize = 1 << 20;

/// Enqueues jobs. Cheap to clone.
///
/// When a call returns `Ok`, the jobs are stored as durably as the broker guarantees. If a call
/// fails or is dropped, the jobs may be stored or not. To repeat it safely, give the job an id.
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

    /// Sets the observer, which is notified of enqueued jobs.
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

    /// Enqueues a job that is due at once.
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

    /// Enqueues many jobs in one step, all or none. The ids are in the order of `jobs`. Other
    /// callers wait during the step, about 10 ms for 1,000 small jobs in SQLite: keep it far below
    /// a lease.
    ///
    /// # Errors
    /// [`EnqueueError`] names the fault. No job was enqueued then, unless the broker failed after
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

    /// Enqueues many jobs in one step. Each has its own [options](EnqueueOptions) and payload
    /// limit, see [`NewJob`]. Returns the ids and what was stored, in the order of `jobs`. A
    /// duplicate is not an error here.
    ///
    /// All or none. In a queue with several partitions, this holds within each partition. Jobs
    /// without a key and without a chosen id are put into one partition, that of the first other
    /// job. A key or a chosen id decides its own partition.
    ///
    /// # Errors
    /// [`EnqueueError`] names the fault. No job was enqueued then, unless the broker failed after
    /// storing them.
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

    /// Enqueues a job whose type is not known here, as the [version](EnqueueOptions::version) in
    /// the options.
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
        notify(&*self.observer, &Event::Enqueued { queue, count });
        Ok(stored)
    }
}
