//! What jobs work on, for tests: a store with one tenant, and a spool.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tidegate_cache::TieredCache;
use tidegate_ratelimit::{Overrides, Tier};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::spool::{Spool, UploadLimits};
use crate::store::Store;
use crate::tenant::{ApiKey, Plan, Tenant, TenantId};

pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) spool: Spool,
    pub(crate) tenant: TenantId,
    _directory: tempfile::TempDir,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidegate.db");
        let (store, _) =
            Store::open(&path, |_| TieredCache::builder().build(), CancellationToken::new()).await.unwrap();
        let id: TenantId = "acme".parse().unwrap();
        let plan = Plan::try_new(Tier::Free, Overrides::default()).unwrap();
        let tenant = Tenant { id: id.clone(), name: "Acme".to_owned(), plan, created_at: clock::now() };
        store.create_tenant(&tenant, &ApiKey::generate()).await.unwrap();
        let spool = Spool::open(directory.path()).await.unwrap();
        Self { store, spool, tenant: id, _directory: directory }
    }

    pub(crate) async fn upload(&self, id: &str, file: String) {
        let patience = Duration::from_secs(60);
        let limits = UploadLimits { bytes: 1 << 20, stall: patience, total: patience };
        let pieces = stream::iter([Ok::<_, Infallible>(Bytes::from(file))]);
        self.spool.receive(id, pieces, |_| Ok(()), limits).await.unwrap();
    }
}
