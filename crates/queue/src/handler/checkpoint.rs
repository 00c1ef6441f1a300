//! Checkpoints: state that a run saves for the next run of the job.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::error::{CheckpointError, LeaseLost};
use super::extract::FromContext;

/// Extracts the state that an earlier run of the job saved, and saves state for the next run: up to
/// 64 KiB of JSON.
///
/// The checkpoint survives failures, lost leases and restarts. It is stored only while the lease is
/// held. A run may repeat the steps after the last checkpoint, never those before it. A new release
/// that changes `T` must be able to read the checkpoints of the old one.
///
/// ```
/// use tidegate_queue::{Checkpoint, Failure};
/// # struct Import;
/// # impl Import {
/// #     async fn page(&self, _from: u64) -> Result<Option<u64>, std::io::Error> { Ok(None) }
/// # }
/// async fn import(job: Import, checkpoint: Checkpoint<u64>) -> Result<u64, Failure> {
///     let mut row = checkpoint.last().copied().unwrap_or(0);
///     while let Some(next) = job.page(row).await? {
///         row = next;
///         checkpoint.save(&row).await?;
///     }
///     Ok(row)
/// }
/// ```
#[derive(Debug)]
pub struct Checkpoint<T> {
    context: Context,
    last: Option<T>,
}

impl<T> Checkpoint<T> {
    /// The last checkpoint of earlier runs. `None` if they saved none.
    pub fn last(&self) -> Option<&T> {
        self.last.as_ref()
    }

    /// Takes the last checkpoint.
    pub fn take(&mut self) -> Option<T> {
        self.last.take()
    }
}

impl<T: Serialize + Sync> Checkpoint<T> {
    /// Saves the state for the next run. One write to the broker.
    ///
    /// # Errors
    /// [`CheckpointError`]. After any error but [`LeaseLost`](CheckpointError::LeaseLost) the
    /// handler may continue; the next run would start from the previous checkpoint.
    pub async fn save(&self, state: &T) -> Result<(), CheckpointError> {
        let text = serde_json::to_string(state).map_err(CheckpointError::Encode)?;
        if self.context.store_checkpoint(text).await? { Ok(()) } else { Err(LeaseLost.into()) }
    }
}

impl<T: DeserializeOwned + Send> FromContext for Checkpoint<T> {
    type Error = CheckpointError;

    async fn from_context(context: &Context) -> Result<Self, CheckpointError> {
        let last = context.job().checkpoint.as_deref().map(serde_json::from_str);
        let last = last.transpose().map_err(CheckpointError::Decode)?;
        Ok(Self { context: context.clone(), last })
    }
}
