//! Reasons why the cache is not kept consistent with other processes.

use std::time::Duration;

use sqlx::Error;

use crate::error::{StoreError, is_lost};

/// Timeout of a check whether the server still answers.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// Reason why this process receives no notifications.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The connection broke.
    #[error("{0}")]
    Database(#[from] Error),
    /// The invalidations that the shared cache still has to receive can't be read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The connection is open but delivers nothing.
    #[error("it was silent for {} s", SILENCE.as_secs())]
    Silent,
    /// The server answers statements, but notifications do not arrive.
    #[error(
        "its notifications don't come through: behind a pooler that lends connections by transaction, LISTEN does nothing; \
         give the server's own address"
    )]
    Deaf,
    /// The server has become a replica.
    #[error("it has become a replica of another server")]
    Follower,
}

impl Lost {
    /// Whether the server may become usable without a change of settings.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => is_lost(error),
            Self::Store(error) => error.is_transient(),
            Self::Silent | Self::Follower => true,
            Self::Deaf => false,
        }
    }
}

/// The watch on commits of other processes has ended, so the cache may be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changes of other processes no longer reach the cache; restart this process")]
pub struct WatchEnded;
