//! Who may have files made now: a tenant has only so many runs of a kind under way.

use chrono::TimeDelta;
use tidegate_base::clock;
use tidegate_domain::files::FileKind;
use tidegate_queue::{Broker, BrokerError, EnqueueError, EnqueueOptions, JobId, Producer, State};
use tidegate_store::{Reserved, Store, StoreError};

use super::file_run::FileJob;

/// How long a place without a job is left alone: the job may only be about to be enqueued.
const HANDED_OVER: TimeDelta = TimeDelta::seconds(60);

/// Where files are asked for.
#[derive(Clone, Copy)]
pub struct FilePlace<'a> {
    /// Where places are counted.
    pub store: &'a Store,
    /// Who knows which jobs there are.
    pub broker: &'a dyn Broker,
    /// The way into the queue.
    pub producer: &'a Producer,
    /// Runs of the kind that a tenant may have under way.
    pub most: u32,
}

impl std::fmt::Debug for FilePlace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilePlace").field("most", &self.most).finish_non_exhaustive()
    }
}

/// Why a run is not begun now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesNotAdmitted {
    /// The tenant has all the runs under way that it may have.
    #[error("{most} {}s are under way already; wait for one to end", kind.name())]
    TooMany {
        /// Of what.
        kind: FileKind,
        /// How many that is.
        most: u32,
    },
    /// The tables can't be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The job store can't be asked.
    #[error("{0}")]
    Queue(#[from] BrokerError),
    /// The job was not enqueued.
    #[error("{0}")]
    Enqueue(#[from] EnqueueError),
}

impl FilePlace<'_> {
    /// Takes a place for one more run of the tenant, and enqueues its job under `id`. Repeating it with the same id is
    /// safe.
    ///
    /// # Errors
    ///
    /// When there is no place, or the job can't be enqueued. It may have been: see [`EnqueueError::may_have_run`].
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
            // A job that may be stored keeps its place, and so does an earlier request with this id; without a job the
            // place is swept. So is one that can't be given back now.
            if reserved == Reserved::New && !error.may_have_run() {
                let _ = self.store.release_run(id.as_str()).await;
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// Notes which runs came to an end without their handler: cancelled, dead by their last failure, or never enqueued.
    ///
    /// Done only when places seem to have run out, and then for as many jobs as there are places.
    async fn close_what_is_over<J: FileJob>(&self, job: &J) -> Result<(), FilesNotAdmitted> {
        for (id, since) in self.store.pending_runs(job.tenant(), J::MAKES).await? {
            let Ok(job) = JobId::new(&id) else { continue };
            match self.broker.job(J::QUEUE, &job).await?.map(|job| job.state) {
                Some(State::Done | State::Dead | State::Cancelled) => self.store.close_run(&id).await?,
                None if clock::now() - since > HANDED_OVER => self.store.release_run(&id).await?,
                _ => {}
            }
        }
        Ok(())
    }
}
