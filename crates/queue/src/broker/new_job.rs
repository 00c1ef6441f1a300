//! A job on its way to a broker, checked.

use std::time::Duration;

use serde_json::Value;

use crate::error::EnqueueError;
use crate::id::JobId;
use crate::job::Job;
use crate::name::check_kind;
use crate::options::{Due, EnqueueOptions};
use crate::state::Priority;

/// A job on its way to a broker: the envelope, which never changes afterwards.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(crate) id: JobId,
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) payload: String,
    pub(crate) priority: Priority,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) due: Due,
}

impl NewJob {
    /// Takes a kind and a payload of any shape.
    ///
    /// # Errors
    /// [`EnqueueError::Kind`] or [`EnqueueError::PayloadTooLarge`] (`limit` in bytes of JSON).
    pub fn new(kind: &str, payload: &Value, options: EnqueueOptions, limit: usize) -> Result<Self, EnqueueError> {
        Self::checked(kind, 1, payload.to_string(), options, limit)
    }

    /// Takes a typed job.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`EnqueueError::Serialize`].
    pub fn of<J: Job>(job: &J, options: EnqueueOptions, limit: usize) -> Result<Self, EnqueueError> {
        Self::checked(J::KIND, J::VERSION, serde_json::to_string(job)?, options, limit)
    }

    fn checked(
        kind: &str,
        version: u32,
        payload: String,
        options: EnqueueOptions,
        limit: usize,
    ) -> Result<Self, EnqueueError> {
        check_kind(kind).map_err(EnqueueError::Kind)?;
        if payload.len() > limit {
            return Err(EnqueueError::PayloadTooLarge { bytes: payload.len(), limit });
        }
        Ok(Self {
            id: options.id.unwrap_or_else(JobId::generate),
            kind: kind.to_owned(),
            version,
            payload,
            priority: options.priority,
            max_attempts: options.max_attempts,
            timeout: options.timeout,
            due: options.due,
        })
    }

    /// The job's id.
    pub fn id(&self) -> &JobId {
        &self.id
    }
}
