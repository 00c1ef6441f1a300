//! Whose turn it is to flush: one process's at a time, so that no work is done twice. Nothing depends on it.

#[cfg(feature = "redis")]
use std::time::Duration;

#[cfg(feature = "redis")]
use tidegate_redis::{Client, Mutex};

use super::error::WriteBehindError;

pub(super) enum Turn {
    /// Nobody else has what waits here.
    Alone,
    #[cfg(feature = "redis")]
    Shared { client: Client, key: String, lease: Duration },
}

/// The turn while one has it. Dropped, it is given back behind.
pub(super) struct Held {
    #[cfg(feature = "redis")]
    shared: Option<(Mutex, Duration)>,
}

impl Turn {
    /// None while it is another process's.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_async, reason = "waits for Redis"))]
    pub(super) async fn begin(&self) -> Result<Option<Held>, WriteBehindError> {
        match self {
            Self::Alone => Ok(Some(Held {
                #[cfg(feature = "redis")]
                shared: None,
            })),
            #[cfg(feature = "redis")]
            Self::Shared { client, key, lease } => {
                match Mutex::try_acquire(client, key, &Mutex::token(), *lease).await {
                    Ok(mutex) => Ok(mutex.map(|mutex| Held { shared: Some((mutex, *lease)) })),
                    // A flush frees what a full server needs, and is right without its turn.
                    Err(error) if error.is_full() => Ok(Some(Held { shared: None })),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

impl Held {
    /// Goes on having it; false when it was lost meanwhile.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_async, reason = "waits for Redis"))]
    pub(super) async fn extend(&self) -> Result<bool, WriteBehindError> {
        #[cfg(feature = "redis")]
        if let Some((mutex, lease)) = &self.shared {
            return Ok(mutex.extend(*lease).await?);
        }
        let _ = self;
        Ok(true)
    }

    /// Gives it to whoever comes next.
    #[cfg_attr(not(feature = "redis"), expect(unused_mut, clippy::unused_async, reason = "waits for Redis"))]
    pub(super) async fn end(mut self) {
        #[cfg(feature = "redis")]
        if let Some((mutex, _)) = self.shared.take() {
            // Where Redis can't be told, it expires.
            let _ = mutex.release().await;
        }
    }
}

#[cfg(feature = "redis")]
impl Drop for Held {
    fn drop(&mut self) {
        // Whoever flushed was stopped half-way. Without a runtime it expires.
        if let Some((mutex, _)) = self.shared.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { mutex.release().await });
        }
    }
}
