//! Results of a read of the cache.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Result of `TypedCache::get` and similar methods.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<V> {
    /// Within its lifetime.
    Fresh(Arc<V>),
    /// Past its lifetime, within the grace of its class.
    Stale(Arc<V>),
    /// Missing, dead, invalidated, or of another type.
    Miss,
}

impl<V> Lookup<V> {
    /// Returns the value, fresh or stale.
    pub fn into_value(self) -> Option<Arc<V>> {
        match self {
            Self::Fresh(value) | Self::Stale(value) => Some(value),
            Self::Miss => None,
        }
    }

    /// Returns the value within its lifetime, for a caller that does not accept an older one.
    pub fn into_fresh(self) -> Option<Arc<V>> {
        if let Self::Fresh(value) = self { Some(value) } else { None }
    }

    /// Whether there is a value, fresh or stale.
    pub fn is_hit(&self) -> bool {
        !matches!(self, Self::Miss)
    }
}

/// Result of `TypedCache::fetch`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Read<V> {
    /// The value.
    pub value: Arc<V>,
    /// Source of the value.
    pub source: Source,
    /// Time for which the cache still holds it fresh; zero if it is stale or was not stored.
    pub fresh_for: Duration,
    /// Whether L1 kept the value. False if an invalidation overtook its load, if it was too large,
    /// or if it is not to be kept ([`Fill::uncached`](crate::Fill::uncached)).
    pub stored: bool,
}

impl<V> Read<V> {
    #[doc(hidden)]
    pub fn new(value: Arc<V>, source: Source, fresh_for: Duration, stored: bool) -> Self {
        Self { value, source, fresh_for, stored }
    }

    #[doc(hidden)]
    pub fn hit(value: Arc<V>, fresh_for: Duration) -> Self {
        Self { value, source: Source::Hit, fresh_for, stored: true }
    }

    #[doc(hidden)]
    pub fn stale(value: Arc<V>) -> Self {
        Self { value, source: Source::Stale, fresh_for: Duration::ZERO, stored: true }
    }
}

/// Source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// From the cache, fresh.
    Hit,
    /// From the cache, past its lifetime; it is being reloaded.
    Stale,
    /// From the tier that processes share.
    Shared,
    /// From the loader of this call.
    Loaded,
    /// From the load of another call that was in progress already.
    Collapsed,
}

/// Reason for no value. It is an error if `E` is one; for boxed and `anyhow` ones see [`DynError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader returned this error. All callers that waited for it share it.
    #[error("the loader failed")]
    Loader(#[source] Arc<E>),
    /// The loader panicked; the panic ended its own task only.
    #[error("the loader panicked")]
    Panicked,
    /// The runtime that ran the loader was shut down before the loader ended.
    #[error("the loader was stopped by the shutdown of its runtime")]
    Aborted,
    /// A load must run detached, and there is no tokio runtime here to run it.
    #[error("a load needs a tokio runtime, and there is none here")]
    NoRuntime,
    /// This caller has waited for the maximum time of its class
    /// ([`TtlClass::hard_timeout`](crate::TtlClass::hard_timeout)). The load continues, and fills.
    #[error("the value was not there in time; its load goes on")]
    TimedOut,
    /// Stopped: the load exceeded [`TtlClass::load_limit`](crate::TtlClass::load_limit).
    #[error("the load took longer than it may, and was stopped")]
    CutOff,
    /// The load got no permit within the maximum waiting time, because too many loads run at once.
    #[error("too many loads run already")]
    Refused,
    /// The loader requested a key that waits, directly or indirectly, for its own end.
    #[error("the load would wait for itself")]
    Cycle,
}

/// Turns a type that is not an error but holds one into an error, such as `anyhow::Error` and
/// `Box<dyn Error + Send + Sync>`.
///
/// [`LoadError<E>`] is an error if `E` is one. By a rule of the language, these types are not. A
/// loader that fails with this type in their place returns an error that `?` passes on with all its
/// sources. `?` in the loader wraps by itself.
///
/// ```
/// # extern crate tidegate_cache_tiers as tidegate_cache;
/// use std::error::Error;
/// use std::sync::Arc;
/// use tidegate_cache::{DynError, Fill, LoadError};
///
/// type AnyError = Box<dyn Error + Send + Sync>; // or anyhow::Error
/// # async fn fetch() -> Result<String, AnyError> { Err("no such host".into()) }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let load = async || Ok::<_, DynError<AnyError>>(Fill::new(fetch().await?));
/// let failed = LoadError::Loader(Arc::new(load().await.expect_err("no host")));
/// assert_eq!(failed.source().expect("the loader's").to_string(), "no such host");
/// # }
/// ```
#[derive(Debug)]
pub struct DynError<E>(pub E);

impl<E> From<E> for DynError<E> {
    fn from(error: E) -> Self {
        Self(error)
    }
}

impl<E: AsRef<dyn Error + Send + Sync>> fmt::Display for DynError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.as_ref(), f)
    }
}

impl<E: AsRef<dyn Error + Send + Sync> + fmt::Debug> Error for DynError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().source()
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(Arc::clone(error)),
            Self::Panicked => Self::Panicked,
            Self::Aborted => Self::Aborted,
            Self::NoRuntime => Self::NoRuntime,
            Self::TimedOut => Self::TimedOut,
            Self::CutOff => Self::CutOff,
            Self::Refused => Self::Refused,
            Self::Cycle => Self::Cycle,
        }
    }
}
