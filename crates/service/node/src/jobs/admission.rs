//! Admission of uploads: limits the pending imports of a tenant.

use std::io;

use tidegate_domain::spool::{Spool, Upload};
use tidegate_model::tenant::TenantId;
use tidegate_queue::{Broker, BrokerError, Job, JobId, JobState};
use tidegate_store::{Reserved, Store, StoreError};

use super::ImportSchedules;

/// A reservation of one pending import of a tenant, made before the upload is read.
///
/// If it is dropped before it is [kept](Self::keep), for example because the client disconnected,
/// the reservation is released and the upload is removed.
#[derive(Debug)]
pub struct Ticket {
    upload: Upload,
    is_repeatable: bool,
    /// Whether this ticket made the reservation. Otherwise an earlier request with the same id made
    /// it and keeps it.
    is_first: bool,
    place: Option<(Store, Spool)>,
}

/// An upload is not admitted now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAdmitted {
    /// The tenant has reached the limit on pending imports.
    #[error("{most} imports are already in progress; wait for one to end")]
    TooMany {
        /// The limit.
        most: u32,
    },
    /// The tables can't be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The job store can't be used.
    #[error("{0}")]
    Queue(#[from] BrokerError),
    /// The file of an earlier import can't be removed.
    #[error("the upload of an earlier import can't be removed: {0}")]
    Spool(#[from] io::Error),
}

impl Ticket {
    /// Reserves one more import of the tenant, which may have `most` pending. A repeated request
    /// with the same `id` keeps its reservation.
    ///
    /// # Errors
    ///
    /// [`NotAdmitted`] if the limit is reached, or if that can't be determined.
    pub async fn take(
        store: &Store,
        spool: &Spool,
        broker: &dyn Broker,
        tenant: &TenantId,
        most: u32,
        id: JobId,
    ) -> Result<Self, NotAdmitted> {
        let mut reserved = store.reserve_import(id.as_str(), tenant, most).await?;
        if reserved == Reserved::Full {
            close_what_is_over(store, broker, tenant).await?;
            reserved = store.reserve_import(id.as_str(), tenant, most).await?;
        }
        let is_first = match reserved {
            Reserved::New => true,
            Reserved::Found => false,
            Reserved::Full => return Err(NotAdmitted::TooMany { most }),
        };
        let (upload, place) = (spool.name(id), Some((store.clone(), spool.clone())));
        let ticket = Self { upload, is_repeatable: false, is_first, place };
        if is_first && ticket.upload.is_shared() {
            // An earlier import with this id may have left its file, which is not the one of this
            // upload.
            spool.remove(&ticket.upload).await?;
        }
        Ok(ticket)
    }

    /// Declares that other requests may have the same id. If they also [share](Upload::is_shared)
    /// the upload, it is never removed with this ticket.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    /// Id of the job.
    pub fn id(&self) -> &JobId {
        self.upload.job()
    }

    /// Name of the upload.
    pub fn upload(&self) -> &Upload {
        &self.upload
    }

    /// Leaves the reservation to the job, which is enqueued next.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.place = None;
        self
    }

    /// Releases the reservation and removes the upload. If that fails now, the sweep does it.
    ///
    /// A shared upload of a [repeatable](Self::repeatable) ticket is also left to the sweep. If an
    /// earlier request with the same id made the reservation, that request keeps it and the shared
    /// upload.
    pub async fn give_back(&self, store: &Store, spool: &Spool) {
        let (id, is_mine_alone) = (self.id(), self.is_first && !self.is_repeatable);
        if (is_mine_alone || !self.upload.is_shared())
            && let Err(error) = spool.remove(&self.upload).await
        {
            tracing::warn!(%error, upload = %id, "a refused upload can't be removed; the sweep will do it");
        }
        if self.is_first
            && let Err(error) = store.release_import(id.as_str()).await
        {
            tracing::warn!(%error, upload = %id, "the slot of a refused upload can't be released; the sweep will do it");
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (Some((store, spool)), Ok(runtime)) = (self.place.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (is_repeatable, is_first) = (self.is_repeatable, self.is_first);
        let left = Self { upload: self.upload.clone(), is_repeatable, is_first, place: None };
        runtime.spawn(async move { left.give_back(&store, &spool).await });
    }
}

/// Records which imports ended without their handler: cancelled, or dead after their last failure.
///
/// Called only if the limit appears to be reached, and then for at most as many jobs as the limit.
async fn close_what_is_over(store: &Store, broker: &dyn Broker, tenant: &TenantId) -> Result<(), NotAdmitted> {
    for id in store.pending_imports(tenant).await? {
        let Ok(job) = JobId::new(&id) else { continue };
        let state = broker.job(ImportSchedules::QUEUE, &job).await?.map(|job| job.state);
        if matches!(state, Some(JobState::Done | JobState::Dead | JobState::Cancelled)) {
            store.close_import(&id, None).await?;
        }
    }
    Ok(())
}
