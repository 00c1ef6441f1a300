//! Schedules as they are sent: from the cache, else from the store.

use tidegate_app::cache_keys;
use tidegate_app::store::{Cursor, Store, StoreError};
use tidegate_app::tenant::TenantId;
use tidegate_cache::{Fill, LoadError, Read, TieredCache, TtlClass, TypedCache};
use uuid::Uuid;

use crate::problem::Problem;
use crate::representation::{Representation, RepresentationCodec};

/// Cached reads of schedules and of pages of them.
#[derive(Debug, Clone)]
pub(crate) struct Schedules {
    store: Store,
    representations: TypedCache<Option<Representation>>,
}

/// Why a representation could not be made.
#[derive(Debug, thiserror::Error)]
enum LoadFailure {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("a schedule can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Schedules {
    /// Reads through `cache` from `store`.
    pub(crate) fn new(store: &Store, cache: &TieredCache) -> Self {
        Self {
            store: store.clone(),
            representations: cache.typed_with_codec(TtlClass::SCHEDULE, RepresentationCodec).weigh(weight),
        }
    }

    /// One schedule of a tenant, `None` inside where it has none of that id.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub(crate) async fn get(&self, tenant: &TenantId, id: Uuid) -> Result<Read<Option<Representation>>, Problem> {
        let key = cache_keys::schedule(tenant, id);
        let (store, tenant) = (self.store.clone(), tenant.clone());
        let load = move || async move {
            let schedule = store.schedule(&tenant, id).await?;
            Ok::<_, LoadFailure>(Fill::new(schedule.as_ref().map(Representation::of).transpose()?))
        };
        self.representations.get_or_load(&key, load).await.map_err(|error| explain(&error))
    }

    /// A page of a tenant's schedules.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub(crate) async fn page(
        &self,
        tenant: &TenantId,
        limit: usize,
        after: Option<Cursor>,
    ) -> Result<Read<Option<Representation>>, Problem> {
        let cursor = after.map(|after| after.to_string());
        let key = cache_keys::schedule_page(tenant, limit, cursor.as_deref());
        let (store, tenant) = (self.store.clone(), tenant.clone());
        let load = move || async move {
            let page = store.schedules(&tenant, limit, after).await?;
            let representation = Representation::of(&page)?;
            Ok::<_, LoadFailure>(Fill::new(Some(representation)).tag(cache_keys::schedules_of(&tenant)))
        };
        self.representations.get_or_load(&key, load).await.map_err(|error| explain(&error))
    }

    /// The tables, for writes.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

fn weight(representation: &Option<Representation>) -> usize {
    representation.as_ref().map_or(0, Representation::weight)
}

fn explain(error: &LoadError<LoadFailure>) -> Problem {
    match error {
        LoadError::Loader(cause) => Problem::internal(&**cause),
        other => Problem::internal(other),
    }
}
