//! Who may upload now: a tenant has only so many imports under way.

use tidegate_queue::{Broker, BrokerError, Job, JobId, State};

use super::ImportSchedules;
use crate::spool::Spool;
use crate::store::{Store, StoreError};
use crate::tenant::TenantId;

/// A place among the imports that its tenant has under way, taken before the upload is read.
///
/// Dropped before it is [kept](Self::keep), as when the client goes away, it is given back along with what was
/// uploaded.
#[derive(Debug)]
pub struct Ticket {
    id: JobId,
    place: Option<(Store, Spool)>,
}

/// Why an upload is not taken now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The tenant has all the imports under way that it may have.
    #[error("{most} imports are under way already; wait for one to end")]
    TooMany {
        /// How many that is.
        most: u32,
    },
    /// The tables can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The job store can't be used.
    #[error(transparent)]
    Queue(#[from] BrokerError),
}

impl Ticket {
    /// Takes a place for one more import of the tenant, which may have `most` under way.
    ///
    /// # Errors
    ///
    /// When there is no place, or it can't be known.
    pub async fn take(
        store: &Store,
        spool: &Spool,
        broker: &dyn Broker,
        tenant: &TenantId,
        most: u32,
    ) -> Result<Self, NotAdmitted> {
        let id = JobId::generate();
        if !store.reserve_import(id.as_str(), tenant, most).await? {
            close_what_is_over(store, broker, tenant).await?;
            if !store.reserve_import(id.as_str(), tenant, most).await? {
                return Err(NotAdmitted::TooMany { most });
            }
        }
        Ok(Self { id, place: Some((store.clone(), spool.clone())) })
    }

    /// The id for upload and job.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// Leaves the place to the job, which is enqueued next.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.place = None;
        self
    }

    /// Gives the place back and removes the upload; what can't be done now is done by the sweep.
    pub async fn give_back(id: &JobId, store: &Store, spool: &Spool) {
        if let Err(error) = spool.remove(id.as_str()).await {
            tracing::warn!(%error, upload = %id, "a refused upload can't be removed; the sweep will");
        }
        if let Err(error) = store.release_import(id.as_str()).await {
            tracing::warn!(%error, upload = %id, "the place of a refused upload can't be given back; the sweep will");
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (Some((store, spool)), Ok(runtime)) = (self.place.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let id = self.id.clone();
        runtime.spawn(async move { Self::give_back(&id, &store, &spool).await });
    }
}

/// Notes which imports came to an end without their handler: cancelled, or dead by their last failure.
///
/// Done only when places seem to have run out, and then for as many jobs as there are places.
async fn close_what_is_over(store: &Store, broker: &dyn Broker, tenant: &TenantId) -> Result<(), NotAdmitted> {
    for id in store.pending_imports(tenant).await? {
        let Ok(job) = JobId::new(&id) else { continue };
        let state = broker.job(ImportSchedules::QUEUE, &job).await?.map(|job| job.state);
        if matches!(state, Some(State::Done | State::Dead | State::Cancelled)) {
            store.close_import(&id, None).await?;
        }
    }
    Ok(())
}
