//! Errors of a run's context and extractors.

use std::time::Duration;

use super::class::{ErrorClass, JobError};
use tidegate_queue_broker::BrokerError;

/// Delay of a job whose handler extracts data that the worker lacks.
const MISSING_PAUSE: Duration = Duration::from_secs(30);

/// The lease is lost: stop. Another worker may run the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease of this job is no longer held")]
pub struct LeaseLost;

/// Retried by class. In fact the outcome of a run that lost its lease is discarded.
impl JobError for LeaseLost {}

/// Why a checkpoint could not be read or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The lease is lost: stop. Another worker may run the job.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The stored checkpoint is of another type.
    #[error("the stored checkpoint does not fit its type")]
    Decode(#[source] serde_json::Error),
    /// The checkpoint can't be written as JSON.
    #[error("the checkpoint can't be serialized")]
    Encode(#[source] serde_json::Error),
    /// The checkpoint is too large, or the broker failed.
    #[error("the checkpoint was not stored")]
    Store(#[from] BrokerError),
}

/// Bury if the checkpoint can't be read, written or is too large, since a retry would not help.
/// Otherwise the class of the inner error.
impl JobError for CheckpointError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::LeaseLost(error) => error.class(),
            Self::Decode(_) | Self::Encode(_) | Self::Store(BrokerError::TooLarge { .. }) => ErrorClass::Bury,
            Self::Store(error) => error.class(),
        }
    }
}

/// The worker was not given the data that a handler extracts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the worker was given no data of type {type_name}")]
pub struct MissingData {
    /// The missing type.
    pub type_name: &'static str,
}

/// Snoozed for 30 s: another worker may have the data.
impl JobError for MissingData {
    fn class(&self) -> ErrorClass {
        ErrorClass::Snooze(MISSING_PAUSE)
    }
}

/// The payload has a newer version than this handler knows. The job is put back with a delay and a
/// note, for a worker that knows the version. Layers see this error and must pass it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload version {found} is newer than {supported}")]
#[non_exhaustive]
pub struct PayloadTooNew {
    /// Version of the stored payload.
    pub found: u32,
    /// Version of the job's type.
    pub supported: u32,
}
