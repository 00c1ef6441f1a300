//! Removes uploads that no job will read, and imports that can't be queried any more.

use std::sync::Arc;
use std::time::Duration;

use tidegate_base::clock;
use tidegate_domain::spool::{Spool, Upload};
use tidegate_queue::{Broker, BrokerError, Job, JobId, JobState};
use tidegate_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::jobs::ImportSchedules;

/// Minimum age of an upload that is removed: its job may be about to be enqueued.
const GRACE: Duration = Duration::from_secs(3600);
const PERIOD: Duration = Duration::from_secs(3600);
/// Number of imports that one query returns.
const IMPORTS_AT_A_TIME: u32 = 100;

/// The sweep and its dependencies.
pub(crate) struct Sweep {
    /// The uploads.
    pub(crate) spool: Spool,
    /// The imports.
    pub(crate) store: Store,
    /// The broker that knows the jobs.
    pub(crate) broker: Arc<dyn Broker>,
    /// Maximum duration of an upload. Until its end, its import has no job.
    pub(crate) upload_timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Spool(#[from] std::io::Error),
    #[error(transparent)]
    Queue(#[from] BrokerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sweep {
    /// Sweeps now and every hour, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            // S3 measures age from the start of an upload.
            let age = self.upload_timeout + GRACE;
            if let Err(error) = self.uploads(age).await {
                tracing::warn!(%error, "the spool can't be swept now");
            }
            if let Err(error) = self.imports(age).await {
                tracing::warn!(%error, "old imports can't be removed now");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    async fn uploads(&self, age: Duration) -> Result<(), SweepError> {
        for upload in self.spool.older_than(age, clock::now().into()).await? {
            if self.is_over(&upload).await? {
                tracing::info!(upload = %upload.job(), "removed an upload that no job reads any more");
                self.spool.remove(&upload).await?;
            }
        }
        Ok(())
    }

    /// Whether no job will read the upload. An operator may retry a dead or cancelled job, which
    /// then needs its file.
    async fn is_over(&self, upload: &Upload) -> Result<bool, BrokerError> {
        let Some(record) = self.broker.job(ImportSchedules::QUEUE, upload.job()).await? else { return Ok(true) };
        let job = serde_json::from_str(&record.payload);
        let is_another = job.is_ok_and(|job: ImportSchedules| Upload::of(record.id, job.file.as_ref()) != *upload);
        Ok(record.state == JobState::Done || is_another)
    }

    async fn imports(&self, age: Duration) -> Result<(), SweepError> {
        let before = clock::now() - age;
        let mut after = String::new();
        loop {
            let imports = self.store.old_imports(before, &after, IMPORTS_AT_A_TIME).await?;
            let Some(last) = imports.last() else { return Ok(()) };
            after.clone_from(&last.id);
            for import in imports {
                let Ok(id) = JobId::new(&import.id) else { continue };
                match self.state(&id).await? {
                    None => self.store.remove_import(&import.id).await?,
                    Some(JobState::Done | JobState::Dead | JobState::Cancelled) if !import.is_closed => {
                        self.store.close_import(&import.id, None).await?;
                    }
                    Some(_) => {}
                }
            }
        }
    }

    async fn state(&self, id: &JobId) -> Result<Option<JobState>, BrokerError> {
        Ok(self.broker.job(ImportSchedules::QUEUE, id).await?.map(|job| job.state))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_domain::import::{Format, Position};
    use tidegate_queue::{EnqueueOptions, MemoryBroker, Producer};
    use tidegate_testkit::S3Server;

    use super::*;
    use crate::jobs::test_ground::Ground;

    async fn enqueue(ground: &Ground, broker: &Arc<MemoryBroker>, id: &str) -> JobId {
        let id = JobId::new(id).unwrap();
        let file = ground.upload(id.as_str(), "x".to_owned()).await.file;
        ground.store.open_import(id.as_str(), &ground.tenant, Position::START).await.unwrap();
        let job = ImportSchedules { tenant: ground.tenant.clone(), format: Format::Csv, bytes: 1, file };
        Producer::new(Arc::clone(broker) as _).enqueue_with(&job, EnqueueOptions::new().id(id.clone())).await.unwrap();
        id
    }

    #[tokio::test]
    async fn what_a_job_may_still_need_stays_and_the_rest_goes() {
        let ground = Ground::new().await;
        let broker = Arc::new(MemoryBroker::new());
        enqueue(&ground, &broker, "waiting").await;
        let cancelled = enqueue(&ground, &broker, "cancelled").await;
        broker.cancel(ImportSchedules::QUEUE, &cancelled).await.unwrap();
        ground.upload("gone", "x".to_owned()).await;
        ground.store.open_import("gone", &ground.tenant, Position::START).await.unwrap();

        let (spool, store) = (ground.spool.clone(), ground.store.clone());
        let sweep = Sweep { spool, store, broker, upload_timeout: Duration::ZERO };
        sweep.uploads(GRACE).await.unwrap();
        sweep.imports(GRACE).await.unwrap();
        assert!(ground.spool.path("gone").exists(), "it is too young");

        // Times in the tables are whole milliseconds, so a row from the current one is not older
        // than zero.
        while ground.store.old_imports(clock::now(), "", 10).await.unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        sweep.uploads(Duration::ZERO).await.unwrap();
        sweep.imports(Duration::ZERO).await.unwrap();
        assert!(ground.spool.path("waiting").exists());
        assert!(ground.spool.path("cancelled").exists(), "an operator may try it again");
        assert!(!ground.spool.path("gone").exists());
        let left = ground.store.old_imports(clock::now(), "", 10).await.unwrap();
        let left: Vec<_> = left.iter().map(|import| (&*import.id, import.is_closed)).collect();
        assert_eq!(left, [("cancelled", true), ("waiting", false)]);
    }

    #[tokio::test]
    async fn of_the_uploads_in_a_bucket_those_stay_that_a_job_names() {
        let s3 = S3Server::start().await;
        let ground = Ground::in_bucket(&s3).await;
        let broker = Arc::new(MemoryBroker::new());
        enqueue(&ground, &broker, "waiting").await;
        let kept = s3.keys();
        // The upload of a repeated request that came second, and of one whose job was never
        // enqueued.
        ground.upload("waiting", "y".to_owned()).await;
        ground.upload("gone", "x".to_owned()).await;
        assert_eq!(s3.keys().len(), 3);

        let (spool, store) = (ground.spool.clone(), ground.store.clone());
        let sweep = Sweep { spool, store, broker, upload_timeout: Duration::ZERO };
        sweep.uploads(GRACE).await.unwrap();
        assert_eq!(s3.keys().len(), 3, "they are too young");
        sweep.uploads(Duration::ZERO).await.unwrap();
        assert_eq!(s3.keys(), kept);
    }

    /// A node that was switched to a bucket still has earlier jobs and uploads.
    #[tokio::test]
    async fn the_directory_is_swept_beside_a_bucket() {
        let s3 = S3Server::start().await;
        let ground = Ground::in_bucket(&s3).await;
        let broker = Arc::new(MemoryBroker::new());
        std::fs::write(ground.spool.path("gone"), "x").unwrap();
        std::fs::write(ground.spool.path("waiting"), "x").unwrap();
        let job = ImportSchedules { tenant: ground.tenant.clone(), format: Format::Csv, bytes: 1, file: None };
        let options = EnqueueOptions::new().id(JobId::new("waiting").unwrap());
        Producer::new(Arc::clone(&broker) as _).enqueue_with(&job, options).await.unwrap();

        let (spool, store) = (ground.spool.clone(), ground.store.clone());
        Sweep { spool, store, broker, upload_timeout: Duration::ZERO }.uploads(Duration::ZERO).await.unwrap();
        assert!(ground.spool.path("waiting").exists());
        assert!(!ground.spool.path("gone").exists());
    }
}
