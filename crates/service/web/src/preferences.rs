//! Preferences of users as they are sent: from the cache, else from the store.

use std::time::Duration;

use tidegate_cache::{Fill, Key, LoadError, TieredCache, TtlClass, TypedCache, WarmUp};
use tidegate_model::cache_keys::{self, Named};
use tidegate_model::tenant::TenantId;
use tidegate_store::{Store, StoreError};
use uuid::Uuid;

use crate::problem::Problem;
use crate::representation::{Found, Representation, RepresentationCodec};

/// A missing user is cached only for a short time: guesses must not fill the cache.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Cached reads of preferences, and writes through them.
#[derive(Debug, Clone)]
pub struct Preferences {
    store: Store,
    representations: TypedCache<Option<Representation>>,
}

/// Why a representation could not be made.
#[derive(Debug, thiserror::Error)]
enum LoadFailure {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("not a key of preferences")]
    NotAKey,
}

impl Preferences {
    /// Reads through `cache` from `store`, as values of `class`.
    pub fn new(store: &Store, cache: &TieredCache, class: TtlClass) -> Self {
        let weight = |found: &Option<Representation>| found.as_ref().map_or(0, Representation::weight);
        Self { store: store.clone(), representations: cache.typed_with_codec(class, RepresentationCodec).weigh(weight) }
    }

    /// A user's preferences, `None` inside where the tenant has no such user.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn get(&'static self, tenant: &TenantId, user: Uuid) -> Result<Found, Problem> {
        let key = cache_keys::preferences(tenant, user);
        let tenant = tenant.clone();
        let load = async move || load(&self.store, &tenant, user).await;
        self.representations.fetch(&key, load).await.map(Found::from).map_err(|error| explain(&error))
    }

    /// Replaces them by `body`, in the tables first and then in the cache, so that the next reader
    /// finds them there. Returns what [`get`](Self::get) then returns.
    ///
    /// `catch_up` brings the cache up to date. It is awaited only if the cache does not hold the
    /// value that was written.
    ///
    /// # Errors
    ///
    /// When the store can't be written.
    pub async fn put(
        &'static self,
        tenant: &TenantId,
        user: Uuid,
        body: String,
        catch_up: impl Future<Output = Result<(), Problem>>,
    ) -> Result<Found, Problem> {
        let written = Representation::of_json(body.clone());
        let value = Some(written.clone());
        match self.store.put_preferences(&self.representations, tenant, user, body, value).await? {
            Some(put) if put.cached => Ok(Found::written(written)),
            // Another write or a reader came between: the cache holds nothing.
            _ => {
                catch_up.await?;
                self.get(tenant, user).await
            }
        }
    }

    /// Registers the loader of preferences with a warm-up.
    pub fn teach(&self, warm_up: WarmUp) -> WarmUp {
        let store = self.store.clone();
        warm_up.class(&self.representations, move |key: Key| {
            let store = store.clone();
            async move {
                match Named::of(&key) {
                    Some(Named::Preferences(tenant, user)) => load(&store, &tenant, user).await,
                    _ => Err(LoadFailure::NotAKey),
                }
            }
        })
    }
}

async fn load(store: &Store, tenant: &TenantId, user: Uuid) -> Result<Fill<Option<Representation>>, LoadFailure> {
    let Some(body) = store.preferences(tenant, user).await? else { return Ok(Fill::absent().ttl(UNKNOWN)) };
    Ok(Fill::new(Some(Representation::of_json(body))))
}

fn explain(error: &LoadError<LoadFailure>) -> Problem {
    match error {
        LoadError::Loader(cause) => Problem::internal(&**cause),
        other => Problem::internal(other),
    }
}
