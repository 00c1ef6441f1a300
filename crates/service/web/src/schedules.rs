//! Schedules as they are sent: from the cache, else from the store.

use tidegate_cache::{Fill, Key, LoadError, TieredCache, TtlClass, TypedCache, WarmUp};
use tidegate_model::cache_keys::{self, Named};
use tidegate_model::tenant::TenantId;
use tidegate_store::{Cursor, Store, StoreError};
use uuid::Uuid;

use crate::page;
use crate::problem::Problem;
use crate::representation::{Found, Representation, RepresentationCodec};

/// Cached reads of schedules and of pages of them.
#[derive(Debug, Clone)]
pub struct Schedules {
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
    #[error("not a key of schedules")]
    NotAKey,
}

impl Schedules {
    /// Reads through `cache` from `store`, as values of `class`.
    pub fn new(store: &Store, cache: &TieredCache, class: TtlClass) -> Self {
        Self { store: store.clone(), representations: cache.typed_with_codec(class, RepresentationCodec).weigh(weight) }
    }

    /// Returns one schedule of a tenant. `None` inside if there is none with that id.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn get(&'static self, tenant: &TenantId, id: Uuid) -> Result<Found, Problem> {
        let key = cache_keys::schedule(tenant, id);
        let tenant = tenant.clone();
        let load = async move || load_one(&self.store, &tenant, id).await;
        self.representations.fetch(&key, load).await.map(Found::from).map_err(|error| explain(&error))
    }

    /// A page of a tenant's schedules. Only the first page of the usual length comes from the
    /// cache.
    ///
    /// Clients choose cursors and lengths: a client could fill every process's memory and Redis
    /// with pages.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn page(&'static self, tenant: &TenantId, limit: usize, after: Option<Cursor>) -> Result<Found, Problem> {
        if limit != page::DEFAULT || after.is_some() {
            let page = page(&self.store, tenant, limit, after).await.map_err(|error| Problem::internal(&error))?;
            return Ok(Found::past_the_cache(page));
        }
        let key = cache_keys::first_page(tenant, limit);
        let tenant = tenant.clone();
        let load = async move || load_first_page(&self.store, &tenant).await;
        self.representations.fetch(&key, load).await.map(Found::from).map_err(|error| explain(&error))
    }

    /// Registers the loaders of schedules and of their pages with a warm-up.
    pub fn teach(&self, warm_up: WarmUp) -> WarmUp {
        let store = self.store.clone();
        warm_up.class(&self.representations, move |key: Key| {
            let store = store.clone();
            async move {
                match Named::of(&key) {
                    Some(Named::Schedule(tenant, id)) => load_one(&store, &tenant, id).await,
                    // A list written by an older version may contain other keys.
                    Some(Named::FirstPage(tenant, page::DEFAULT)) => load_first_page(&store, &tenant).await,
                    _ => Err(LoadFailure::NotAKey),
                }
            }
        })
    }

    /// The tables, for writes.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

async fn load_one(store: &Store, tenant: &TenantId, id: Uuid) -> Result<Fill<Option<Representation>>, LoadFailure> {
    let schedule = store.schedule(tenant, id).await?;
    Ok(Fill::found(schedule.as_ref().map(Representation::of).transpose()?))
}

async fn load_first_page(store: &Store, tenant: &TenantId) -> Result<Fill<Option<Representation>>, LoadFailure> {
    let page = page(store, tenant, page::DEFAULT, None).await?;
    Ok(Fill::new(Some(page)).tag(cache_keys::schedules_of(tenant)))
}

async fn page(
    store: &Store,
    tenant: &TenantId,
    limit: usize,
    after: Option<Cursor>,
) -> Result<Representation, LoadFailure> {
    let page = store.schedules(tenant, limit, after).await?;
    Ok(Representation::of(&page)?)
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
