//! Loaders of a warm-up: for each class, how its keys are loaded.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::handle::WarmUpHandle;
use super::hot_keys::{HotKey, HotKeys};
use super::run;
use crate::handle::TypedCache;
use tidegate_cache_tiers::{Fill, Key, Source, text};

/// Maximum number of concurrent loads by default.
const CONCURRENCY: usize = 8;

/// Outcome for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warmed {
    /// A loader loaded it.
    Loaded,
    /// It was in a tier already, or another caller loaded it.
    Present,
    /// Its loader failed.
    Failed,
    /// No loader is registered for it.
    Unknown,
}

type Load = Arc<dyn Fn(Key) -> BoxFuture<'static, Warmed> + Send + Sync>;

/// Loaders by class, which load keys at start or on demand. Cloning copies a pointer.
///
/// Every key goes through [`TypedCache::fetch`]: L1 and L2 are read first, callers that come
/// meanwhile share the load, and an invalidation during the load keeps its value out.
///
/// ```
/// use tidegate_cache::{Fill, HotKeys, Key, TieredCache, TtlClass, WarmUp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("hot-keys-{}", std::process::id()));
/// let cache = TieredCache::builder().build();
/// let plans = cache.typed::<String>(TtlClass::COMPUTATION);
/// # plans.put(&Key::builder("plan").part(7).build()?, "7".to_owned()).await;
/// cache.hot_keys(10_000).save(&path).await?; // every few minutes, and at shutdown
///
/// # plans.cache().clear().await?;
/// let load = async |key: Key| {
///     let parts = key.parts().unwrap_or_default(); // `plan`, then the number
///     Ok::<_, std::io::Error>(Fill::new(format!("plan {} from SQL", parts[1].text)))
/// };
/// let warm_up = WarmUp::new().class(&plans, load);
/// let run = warm_up.start(HotKeys::load(&path).await?);
/// let limit = std::time::Duration::from_secs(10);
/// let done = tokio::time::timeout(limit, run.wait()).await?; // then report readiness
/// assert_eq!((done.loaded, done.failed), (1, 0));
/// # std::fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is loaded until `start`"]
pub struct WarmUp {
    /// By class, and by the prefix of keys if given.
    loaders: Arc<HashMap<(String, Option<String>), Load>>,
    concurrency: usize,
}

impl WarmUp {
    /// Creates a warm-up without loaders, with 8 concurrent loads.
    pub fn new() -> Self {
        Self { loaders: Arc::default(), concurrency: CONCURRENCY }
    }

    /// Registers a loader for keys of this handle's class. The last loader for a class counts.
    pub fn class<V, E, F, Fut>(self, values: &TypedCache<V>, loader: F) -> Self
    where
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: Fn(Key) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        self.with(None, values, loader)
    }

    /// Loader for keys of this prefix, if several kinds of keys share the handle's class.
    pub fn prefix<V, E, F, Fut>(self, prefix: &str, values: &TypedCache<V>, loader: F) -> Self
    where
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: Fn(Key) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        self.with(Some(prefix.to_owned()), values, loader)
    }

    /// Sets the number of concurrent loads; 8 by default, at least 1.
    pub fn concurrency(mut self, loads: usize) -> Self {
        self.concurrency = loads.max(1);
        self
    }

    /// Loads the keys in the background, hottest first, until [`WarmUpHandle::cancel`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(&self, keys: HotKeys) -> WarmUpHandle {
        run::start(self.clone(), keys, self.concurrency)
    }

    pub(super) async fn warm(&self, hot: HotKey) -> Warmed {
        let prefix = hot.key.as_str().split(text::SEPARATOR).next().and_then(text::unescaped);
        let of = |prefix| self.loaders.get(&(hot.class.clone(), prefix));
        match of(prefix).or_else(|| of(None)) {
            Some(load) => load(hot.key).await,
            None => Warmed::Unknown,
        }
    }

    fn with<V, E, F, Fut>(mut self, prefix: Option<String>, values: &TypedCache<V>, loader: F) -> Self
    where
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
        F: Fn(Key) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Fill<V>, E>> + Send + 'static,
    {
        let class = values.class().name().to_owned();
        let values = values.clone();
        let load: Load = Arc::new(move |key| {
            let (values, loader) = (values.clone(), loader.clone());
            Box::pin(async move {
                let wanted = key.clone();
                match values.fetch(&key, move || loader(wanted)).await {
                    Ok(read) if read.source == Source::Loaded => Warmed::Loaded,
                    Ok(_) => Warmed::Present,
                    Err(_) => Warmed::Failed,
                }
            })
        });
        let mut loaders = (*self.loaders).clone();
        loaders.insert((class, prefix), load);
        self.loaders = Arc::new(loaders);
        self
    }
}

impl Default for WarmUp {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WarmUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = self.loaders.keys().collect();
        f.debug_struct("WarmUp").field("loaders", &known).field("concurrency", &self.concurrency).finish()
    }
}
