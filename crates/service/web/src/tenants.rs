//! Tenants as requests need them: from the cache, else from the store.

use std::sync::Arc;
use std::time::Duration;

use tidegate_cache::{Codec, CodecError, Fill, Key, LoadError, TieredCache, TtlClass, TypedCache, WarmUp};
use tidegate_model::cache_keys::{self, Named};
use tidegate_model::tenant::{KeyDigest, Tenant, TenantId};
use tidegate_store::{Store, StoreError};

use crate::problem::Problem;

/// Name of the class of tenants in the cache.
pub const CLASS: &str = "tenant";

/// An unknown key is cached only for a short time: guesses must not fill the cache.
const UNKNOWN_KEY: Duration = Duration::from_secs(5);

/// Cached reads of tenants and of the keys that name them.
#[derive(Debug, Clone)]
pub struct Tenants {
    store: Store,
    tenants: TypedCache<Option<Arc<Tenant>>>,
    keys: TypedCache<Option<TenantId>>,
}

impl Tenants {
    /// Reads through `cache` from `store`, as values of `class`.
    pub fn new(store: &Store, cache: &TieredCache, class: TtlClass) -> Self {
        let weight =
            |tenant: &Option<Arc<Tenant>>| tenant.as_ref().map_or(0, |tenant| tenant.name.len() + size_of::<Tenant>());
        // The owner of a key stays in this process: Redis needs no list of the digests in use.
        let tenants = cache.typed_with_codec(class, TenantCodec).weigh(weight);
        Self { store: store.clone(), tenants, keys: cache.typed(class) }
    }

    /// The tenant of that id.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn get(&'static self, id: &TenantId) -> Result<Option<Arc<Tenant>>, Problem> {
        let key = cache_keys::tenant(id);
        let id = id.clone();
        let load = async move || load_tenant(&self.store, &id).await;
        let read = self.tenants.fetch(&key, load).await?;
        Ok(read.value.as_ref().clone())
    }

    /// The tenant of the key with that digest.
    ///
    /// # Errors
    ///
    /// When the store can't be read.
    pub async fn of_key(&'static self, digest: &KeyDigest) -> Result<Option<TenantId>, Problem> {
        let key = cache_keys::api_key(digest);
        let digest = *digest;
        let load = async move || load_key(&self.store, &digest).await;
        let read = self.keys.fetch(&key, load).await?;
        Ok(read.value.as_ref().clone())
    }

    /// Registers the loaders of tenants and of their keys with a warm-up.
    pub fn teach(&self, warm_up: WarmUp) -> WarmUp {
        let (tenants, keys) = (self.store.clone(), self.store.clone());
        let load_tenant = move |key: Key| {
            let store = tenants.clone();
            async move {
                let Some(Named::Tenant(id)) = Named::of(&key) else { return Err(NotWarmed::NotAKey) };
                Ok(load_tenant(&store, &id).await?)
            }
        };
        let load_key = move |key: Key| {
            let store = keys.clone();
            async move {
                let Some(Named::ApiKey(digest)) = Named::of(&key) else { return Err(NotWarmed::NotAKey) };
                Ok(load_key(&store, &digest).await?)
            }
        };
        warm_up.prefix("tenant", &self.tenants, load_tenant).prefix("api-key", &self.keys, load_key)
    }
}

/// Why a key was not loaded at start.
#[derive(Debug, thiserror::Error)]
enum NotWarmed {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("not a key of tenants")]
    NotAKey,
}

async fn load_tenant(store: &Store, id: &TenantId) -> Result<Fill<Option<Arc<Tenant>>>, StoreError> {
    Ok(Fill::found(store.tenant(id).await?.map(Arc::new)))
}

async fn load_key(store: &Store, digest: &KeyDigest) -> Result<Fill<Option<TenantId>>, StoreError> {
    let id = store.tenant_of_key(digest).await?;
    let is_known = id.is_some();
    let fill = Fill::found(id);
    Ok(if is_known { fill } else { fill.ttl(UNKNOWN_KEY) })
}

/// The form in the shared cache: JSON.
struct TenantCodec;

impl Codec<Option<Arc<Tenant>>> for TenantCodec {
    fn version(&self) -> u8 {
        3
    }

    fn encode(&self, tenant: &Option<Arc<Tenant>>) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(&tenant.as_deref()).map_err(|error| unfit(&error))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Option<Arc<Tenant>>, CodecError> {
        let tenant: Option<Tenant> = serde_json::from_slice(bytes).map_err(|error| unfit(&error))?;
        Ok(tenant.map(Arc::new))
    }
}

/// Returns the kind and position of the error. Its own text quotes the value, which must not be
/// logged.
fn unfit(error: &serde_json::Error) -> CodecError {
    CodecError::failed(format!("not a tenant: {:?} at byte {}", error.classify(), error.column()))
}

impl From<LoadError<StoreError>> for Problem {
    fn from(error: LoadError<StoreError>) -> Self {
        match &error {
            LoadError::Loader(cause) => Self::internal(&**cause),
            other => Self::internal(other),
        }
    }
}
