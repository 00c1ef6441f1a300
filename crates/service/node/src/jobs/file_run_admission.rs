//! Admission of jobs that make files: limits the pending runs of a tenant, for each kind.

use chrono::TimeDelta;
use tidegate_base::clock;
use tidegate_domain::files::FileKind;
use tidegate_queue::{Broker, BrokerError, EnqueueError, EnqueueOptions, JobId, JobState, Producer};
use tidegate_store::{Reserved, Store, StoreError};

use super::file_run::FileJob;

/// Minimum age at which a reservation without a job is released: the job may be about to be
/// enqueued.
const HANDED_OVER: TimeDelta = TimeDelta::seconds(60);

/// Admits runs that make files.
#[derive(Clone, Copy)]
pub struct FilePlace<'a> {
    /// The store that counts the pending runs.
    pub store: &'a Store,
    /// The broker of the jobs.
    pub broker: &'a dyn Broker,
    /// The producer that enqueues the jobs.
    pub producer: &'a Producer,
    /// Limit on a tenant's pending runs of the kind.
    pub most: u32,
}

impl std::fmt::Debug for FilePlace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilePlace").field("most", &self.most).finish_non_exhaustive()
    }
}

/// A run is not admitted now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesNotAdmitted {
    /// The tenant has reached the limit on pending runs.
    #[error("{most} {}s are already in progress; wait for one to end", kind.name())]
    TooMany {
        /// Kind of the files.
        kind: FileKind,
        /// The limit.
        most: u32,
    },
    /// The tables can't be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The job store can't be queried.
    #[error("{0}")]
    Queue(#[from] BrokerError),
    /// The job was not enqueued.
    #[error("{0}")]
    Enqueue(#[from] EnqueueError),
}

impl FilePlace<'_> {
    /// Reserves one more run of the tenant, and enqueues its job with `id`. Repeating it with the
    /// same id is safe.
    ///
    /// # Errors
    ///
    /// [`FilesNotAdmitted`] if the limit is reached or the job can't be enqueued. In the latter
    /// case the job may have been stored: see [`EnqueueError::may_have_run`].
    pub async fn begin<J: FileJob>(&self, job: &J, id: &JobId, trace: Option<String>) -> Result<(), FilesNotAdmitted> {
        let most = self.most;
        let mut reserved = self.store.reserve_run(id.as_str(), job.tenant(), J::MAKES, most).await?;
        if reserved == Reserved::Full {
            self.close_what_is_over(job).await?;
            reserved = self.store.reserve_run(id.as_str(), job.tenant(), J::MAKES, most).await?;
        }
        if reserved == Reserved::Full {
            return Err(FilesNotAdmitted::TooMany { kind: J::MAKES, most });
        }
        let options = EnqueueOptions::new().id(id.clone());
        let options = match trace {
            Some(trace) => options.trace_parent(trace),
            None => options,
        };
        if let Err(error) = self.producer.enqueue_with(job, options).await {
            // A job that may be stored keeps its reservation, and so does an earlier request with
            // this id. A reservation without a job is swept, also one that can't be released now.
            if reserved == Reserved::New && !error.may_have_run() {
                let _ = self.store.release_run(id.as_str()).await;
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// Records which runs ended without their handler: cancelled, dead after their last failure, or
    /// never enqueued.
    ///
    /// Called only if the limit appears to be reached, and then for at most as many jobs as the
    /// limit.
    async fn close_what_is_over<J: FileJob>(&self, job: &J) -> Result<(), FilesNotAdmitted> {
        for (id, since) in self.store.pending_runs(job.tenant(), J::MAKES).await? {
            let Ok(job) = JobId::new(&id) else { continue };
            match self.broker.job(J::QUEUE, &job).await?.map(|job| job.state) {
                Some(JobState::Done | JobState::Dead | JobState::Cancelled) => self.store.close_run(&id).await?,
                None if clock::now() - since > HANDED_OVER => self.store.release_run(&id).await?,
                _ => {}
            }
        }
        Ok(())
    }
}
