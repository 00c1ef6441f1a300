//! Dependencies of jobs for tests: a store with one tenant, and a spool in a directory or a bucket.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tidegate_base::clock;
use tidegate_cache::TieredCache;
use tidegate_domain::files::Files;
use tidegate_domain::import::{Format, HeaderCheck};
use tidegate_domain::spool::{Received, Spool, UploadLimits};
use tidegate_model::tenant::{ApiKey, Plan, Tenant, TenantId};
use tidegate_queue::JobId;
use tidegate_ratelimit::{Overrides, Tier};
use tidegate_settings::FilesPlace;
use tidegate_store::Store;
use tidegate_testkit::S3Server;
use tokio_util::sync::CancellationToken;

pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) spool: Spool,
    pub(crate) tenant: TenantId,
    _directory: tempfile::TempDir,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        Self::with_files(|directory| Files::open(&FilesPlace::Directory, directory).unwrap()).await
    }

    /// With a spool in the bucket of that server.
    pub(crate) async fn in_bucket(s3: &S3Server) -> Self {
        Self::with_files(|_| Files::in_stand_in(s3.port(), S3Server::BUCKET, (S3Server::KEY, S3Server::SECRET))).await
    }

    async fn with_files(files: impl FnOnce(&Path) -> Files) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.db");
        let (store, _) =
            Store::open(&path, |_| TieredCache::builder().build(), CancellationToken::new()).await.unwrap();
        let id: TenantId = "acme".parse().unwrap();
        let plan = Plan::try_new(Tier::FREE, Overrides::default()).unwrap();
        let tenant = Tenant { id: id.clone(), name: "Acme".to_owned(), plan, created_at: clock::now() };
        store.create_tenant(&tenant, &ApiKey::generate()).await.unwrap();
        let spool = Spool::open(&files(directory.path()), directory.path()).unwrap();
        Self { store, spool, tenant: id, _directory: directory }
    }

    pub(crate) async fn upload(&self, id: &str, file: String) -> Received {
        let patience = Duration::from_secs(60);
        let limits = UploadLimits { bytes: 4 << 20, stall: patience, total: patience };
        let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from(file))]);
        let upload = self.spool.name(JobId::new(id).unwrap());
        // Any header is accepted.
        self.spool.receive(&upload, pieces, HeaderCheck::new(Format::Ndjson), limits).await.unwrap()
    }
}
