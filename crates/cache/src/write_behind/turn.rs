//! Turns to flush: one process at a time, so that no work is done twice. Nothing depends on it.

use std::time::Duration;

use tidegate_redis::{Client, Mutex};

use super::error::WriteBehindError;

/// The turn that the processes of one name take.
pub(super) struct Turn {
    pub(super) client: Client,
    pub(super) key: String,
    pub(super) lease: Duration,
}

/// The turn of this process. If it is dropped, it is given back in the background.
pub(super) struct Held {
    /// `None` if the server was full and took no lock.
    mutex: Option<(Mutex, Duration)>,
}

impl Turn {
    /// Returns `None` while another process has the turn.
    pub(super) async fn begin(&self) -> Result<Option<Held>, WriteBehindError> {
        match Mutex::try_acquire(&self.client, &self.key, &Mutex::token(), self.lease).await {
            Ok(mutex) => Ok(mutex.map(|mutex| Held { mutex: Some((mutex, self.lease)) })),
            // A flush frees memory on a full server, and is correct without its turn.
            Err(error) if error.is_full() => Ok(Some(Held { mutex: None })),
            Err(error) => Err(error.into()),
        }
    }
}

impl Held {
    /// Extends the turn. Returns `false` if it was lost meanwhile.
    pub(super) async fn extend(&self) -> Result<bool, WriteBehindError> {
        match &self.mutex {
            Some((mutex, lease)) => Ok(mutex.extend(*lease).await?),
            None => Ok(true),
        }
    }

    /// Gives the turn to the next process.
    pub(super) async fn end(mut self) {
        if let Some((mutex, _)) = self.mutex.take() {
            // If Redis cannot be reached, it expires.
            let _ = mutex.release().await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The flush was stopped half-way. Without a runtime the lock expires.
        if let Some((mutex, _)) = self.mutex.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { mutex.release().await });
        }
    }
}
