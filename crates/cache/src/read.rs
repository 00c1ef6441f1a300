//! What a read of the cache answers.

use std::sync::Arc;
use std::time::Duration;

/// The answer of [`TypedCache::get`](crate::TypedCache::get) and of its kin.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<V> {
    /// Within its lifetime.
    Fresh(Arc<V>),
    /// Past its lifetime, within the grace of its class.
    Stale(Arc<V>),
    /// Not there, dead, invalidated, or of another type.
    Miss,
}

impl<V> Lookup<V> {
    /// The value, fresh or stale.
    pub fn into_value(self) -> Option<Arc<V>> {
        match self {
            Self::Fresh(value) | Self::Stale(value) => Some(value),
            Self::Miss => None,
        }
    }

    /// The value within its lifetime, for a caller who wants none that is past it.
    pub fn into_fresh(self) -> Option<Arc<V>> {
        if let Self::Fresh(value) = self { Some(value) } else { None }
    }

    /// Whether there is a value, fresh or stale.
    pub fn is_hit(&self) -> bool {
        !matches!(self, Self::Miss)
    }
}

/// The answer of [`TypedCache::get_or_load`](crate::TypedCache::get_or_load).
#[derive(Debug)]
#[non_exhaustive]
pub struct Read<V> {
    /// The value.
    pub value: Arc<V>,
    /// Where it came from.
    pub source: Source,
    /// For how much longer the cache holds it fresh; zero when it is stale or was not stored.
    pub fresh_for: Duration,
    /// Whether L1 kept it. False when an invalidation overtook its load, when it was too big, and when it is to be kept nowhere
    /// ([`Fill::uncached`](crate::Fill::uncached)).
    pub stored: bool,
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// From the cache, fresh.
    Hit,
    /// From the cache, past its lifetime; it is being loaded anew.
    Stale,
    /// From the tier that processes share.
    Shared,
    /// From the loader of this call.
    Loaded,
    /// From the load of another call that was under way already.
    Collapsed,
}

/// Why a value could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader returned this error; every caller that waited for it shares it.
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
    /// This caller has waited for as long as its class allows ([`TtlClass::hard_timeout`](crate::TtlClass::hard_timeout)).
    /// The load goes on, and fills.
    #[error("the value was not there in time; its load goes on")]
    TimedOut,
    /// The load took longer than one may ([`TtlClass::load_limit`](crate::TtlClass::load_limit)), and was stopped.
    #[error("the load took longer than it may, and was stopped")]
    CutOff,
    /// There was no place for the load among those that run at once, for as long as it may wait.
    #[error("too many loads run already")]
    Refused,
    /// The loader asked for what waits, by whatever detours, for its own end.
    #[error("the load would wait for itself")]
    Circle,
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
            Self::Circle => Self::Circle,
        }
    }
}
